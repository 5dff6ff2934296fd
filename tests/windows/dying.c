// A tray app that runs here as far as its version, and no further.
#include <string.h>

int main(int count, char **words) { return count < 2 || strcmp(words[1], "--version") ? 7 : 0; }
