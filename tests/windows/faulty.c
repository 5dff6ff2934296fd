/* A program that says it is the next version and likes every config file, and does not work when it is to run. */
#include <stdio.h>
#include <string.h>

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "version"))
        return puts("{\"software\": \"petit-client 0.1.1\"}") < 0;
    if (count > 1 && !strcmp(words[1], "config"))
        return 0;
    fputs("a new fault\n", stderr);
    return 1;
}
