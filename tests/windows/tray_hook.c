/* Lets the tray icon be clicked under Wine: the app asks where its icon is before it takes a click, and Wine (8 and 10)
 * does not say. Said is where the mouse is.
 *
 * As a library it is loaded into the app before that begins; as a program (RUNNER) it starts the app so:
 * runner.exe library.dll program.exe [argument ...] */

#include <windows.h>
#include <string.h>

#ifdef RUNNER

#include <wchar.h>

int wmain(int count, wchar_t **words)
{
    wchar_t line[4096] = L"";
    STARTUPINFOW start = { .cb = sizeof start };
    PROCESS_INFORMATION app;
    if (count < 3)
        return 2;
    for (int i = 2; i < count; i++) {
        wcscat(line, L"\"");
        wcscat(line, words[i]);
        wcscat(line, L"\" ");
    }
    if (!CreateProcessW(NULL, line, NULL, NULL, FALSE, CREATE_SUSPENDED, NULL, NULL, &start, &app))
        return 3;
    SIZE_T size = (wcslen(words[1]) + 1) * sizeof(wchar_t);
    void *there = VirtualAllocEx(app.hProcess, NULL, size, MEM_COMMIT, PAGE_READWRITE);
    HANDLE load = NULL;
    if (there && WriteProcessMemory(app.hProcess, there, words[1], size, NULL))
        load = CreateRemoteThread(app.hProcess, NULL, 0, (LPTHREAD_START_ROUTINE)LoadLibraryW, there, 0, NULL);
    if (!load) {
        TerminateProcess(app.hProcess, 1);
        return 4;
    }
    WaitForSingleObject(load, INFINITE);
    ResumeThread(app.hThread);
    WaitForSingleObject(app.hProcess, INFINITE);
    DWORD code = 1;
    GetExitCodeProcess(app.hProcess, &code);
    return (int)code;
}

#else

/* Shell_NotifyIconGetRect */
static HRESULT WINAPI where(const void *icon, RECT *rect)
{
    POINT mouse;
    (void)icon;
    GetCursorPos(&mouse);
    SetRect(rect, mouse.x - 8, mouse.y - 8, mouse.x + 8, mouse.y + 8);
    return S_OK;
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD why, void *unused)
{
    (void)self;
    (void)unused;
    if (why != DLL_PROCESS_ATTACH)
        return TRUE;
    /* mov rax, where; jmp rax */
    unsigned char jump[12] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 };
    void *target = (void *)where;
    memcpy(jump + 2, &target, sizeof target);
    void *stub = (void *)GetProcAddress(LoadLibraryA("shell32"), "Shell_NotifyIconGetRect");
    DWORD before;
    if (!stub || !VirtualProtect(stub, sizeof jump, PAGE_EXECUTE_READWRITE, &before))
        return FALSE;
    memcpy(stub, jump, sizeof jump);
    return TRUE;
}

#endif
