/* Holds a file as a virus scanner does: others may read it, and neither rename nor delete it, until the input ends. */
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t **words) {
    HANDLE held;
    if (count < 2)
        return 2;
    /* As soon as it is there. */
    while ((held = CreateFileW(words[1], GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL)) == INVALID_HANDLE_VALUE)
        Sleep(5);
    puts("held");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
