; What the installer says beside what NSIS says itself.

LangString START_AT_LOGIN ${LANG_ENGLISH} "Start ${NAME} when I log in"
LangString START_AT_LOGIN ${LANG_GERMAN} "${NAME} starten, wenn ich mich anmelde"

LangString STILL_RUNS ${LANG_ENGLISH} "${NAME} is still running. End it (its icon beside the clock, Quit), then try again. Nothing has been changed."
LangString STILL_RUNS ${LANG_GERMAN} "${NAME} läuft noch. Beenden Sie es (Symbol neben der Uhr, Beenden) und versuchen Sie es noch einmal. Es wurde nichts geändert."

LangString SETUP_RUNS ${LANG_ENGLISH} "${NAME} is being installed or removed already."
LangString SETUP_RUNS ${LANG_GERMAN} "${NAME} wird bereits installiert oder entfernt."

LangString TOO_OLD ${LANG_ENGLISH} "${NAME} needs Windows 10 or later."
LangString TOO_OLD ${LANG_GERMAN} "${NAME} braucht Windows 10 oder neuer."

LangString NOT_YOURS ${LANG_ENGLISH} "${NAME} is installed for one user, below that user's own folder ($PROFILE): elsewhere others could change it. Choose a folder there with /D=, or none."
LangString NOT_YOURS ${LANG_GERMAN} "${NAME} wird für einen Benutzer installiert, unterhalb seines eigenen Ordners ($PROFILE): Anderswo könnten andere es verändern. Wählen Sie mit /D= einen Ordner dort, oder keinen."

LangString NO_WEBVIEW2 ${LANG_ENGLISH} "${NAME} draws its window with Microsoft's WebView2, which is not on this computer. Without it the connection works and the icon beside the clock is there, but no window opens.$\r$\n$\r$\nOpen Microsoft's page for it?"
LangString NO_WEBVIEW2 ${LANG_GERMAN} "${NAME} zeichnet sein Fenster mit WebView2 von Microsoft, das auf diesem Computer fehlt. Ohne es geht die Verbindung, und das Symbol neben der Uhr ist da, aber es öffnet sich kein Fenster.$\r$\n$\r$\nDie Seite von Microsoft dafür öffnen?"

LangString PURGE ${LANG_ENGLISH} "Delete the settings, logs and key of this computer as well ($PROFILE\${FOLDER})?$\r$\n$\r$\nWith No, ${NAME} goes on as before when it is installed again. With Yes, it needs a new invite. Your vendor keeps the entry of this computer either way."
LangString PURGE ${LANG_GERMAN} "Auch Einstellungen, Protokolle und Schlüssel dieses Computers löschen ($PROFILE\${FOLDER})?$\r$\n$\r$\nMit Nein geht ${NAME} nach einer neuen Installation weiter wie bisher. Mit Ja braucht es eine neue Einladung. Bei Ihrem Anbieter bleibt der Eintrag dieses Computers so oder so bestehen."

LangString SERVER_THERE ${LANG_ENGLISH} "$PROFILE\${FOLDER} was kept: a Petit server has its registry there."
LangString SERVER_THERE ${LANG_GERMAN} "$PROFILE\${FOLDER} wurde behalten: Dort liegt das Verzeichnis eines Petit-Servers."
