// A tray app that ends as soon as it runs, as if nothing were wrong.
int main(void) { return 0; }
