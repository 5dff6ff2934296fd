// A tray app that does not run on this computer.
int main(void) { return 1; }
