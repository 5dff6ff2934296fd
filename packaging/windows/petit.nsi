; The installer for Windows: the customer's side of Petit, for one user and without an administrator.
;
; `cargo xtask dist windows` makes it. It says in a file of its own (DEFINES) what is packed and whose Petit it is:
;   NAME, PUBLISHER, VERSION   what people read; NUMBERS is the version without what is no number
;   ID          what this Petit is known by to the system: its folder, its keys, its autostart value
;   APP_ID      the same, as an AppUserModelID
;   FOLDER      what it keeps in the user's own folder
;   SCHEME      links that are its alone; petit: links belong to the one that was installed last
;   OUT, PAYLOAD, ICON, PACKING; BRAND where it is a vendor's own, ROOTS where root keys come along
;
; Silent: petit-setup.exe /S [/AUTOSTART] [/D=FOLDER], uninstall.exe /S [/PURGE]. What happened is in install.log.
; uninstall.exe goes on as a copy of itself and exits at once. As uninstall.exe /S _?=FOLDER it does not, exits as it has
; gone, and leaves itself alone in FOLDER; where it fails, why is in %TEMP%\${ID}-uninstall.log.
;
; It keeps itself beside the programs as setup.exe, and the one of the version before as before.exe. A version that the tray
; app has fetched is on trial (.petit.exe.trial, petit-client/src/updates): where it dies again and again, before.exe /S /BACK
; puts the version before back. The tray app runs the same where it runs and does not work. One that comes over a version
; which is to go back and cannot (/KEEP) leaves before.exe as it is, and that version's trial to it where nothing comes of this.

; The usual stub is of 32 bits. The programs are not, so nothing is lost with one of 64.
Target amd64-unicode
!include "${DEFINES}"

!include MUI2.nsh
!include LogicLib.nsh
!include FileFunc.nsh
!include WinVer.nsh
!include Win\COM.nsh
!include Win\Propkey.nsh

!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\${ID}"
!define RUN "Software\Microsoft\Windows\CurrentVersion\Run"
; Where Windows notes that somebody has switched an autostart value off in the task manager.
!define APPROVED "Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
!define CLASSES "Software\Classes"
; Exactly what the menu's tick writes (petit-app/src/autostart.rs), so that the tick is right afterwards.
!define AT_LOGIN '"$INSTDIR\petit.exe" --autostart'
; What WebView2 is called where it writes down its version (Microsoft Edge WebView2, "Distribution").
!define WEBVIEW2 "Microsoft\EdgeUpdate\Clients\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}"
!define WEBVIEW2_PAGE "https://go.microsoft.com/fwlink/p/?LinkId=2124703"

; How it exits, beside what NSIS says itself: 0 done, 1 cancelled, 2 failed.
!define STILL_RUNNING 3
!define NOT_SUPPORTED 4
!define RUNS_ALREADY 5
!define NOT_ITS_USERS 6
!define DOES_NOT_RUN 7
; What our programs exit with when asked for something while they do not run (petit-host/src/exit.rs).
!define NOT_RUNNING 3

; How long a program of ours may take to do what it was asked, in ms. It is done within a second or two.
!define PATIENCE 60000
; How long it is watched at most whether a version on trial stays, in seconds: longer than a trial without a line takes.
!define WATCHED 2400
; How often it is started in that time.
!define STARTS 3
; One that has ended sooner than that, in seconds, was not ended by a person.
!define AT_ONCE 15
; Ends that lie further apart than that, in seconds, say more of the computer (CRASHES_WITHIN in petit-host/src/update/trial.rs).
!define ENDS_WITHIN 600

Name "${NAME}"
BrandingText "${NAME} ${VERSION}"
OutFile "${OUT}"
SetCompressor ${PACKING}
RequestExecutionLevel user
ManifestDPIAware true
InstallDir "$LOCALAPPDATA\Programs\${ID}"
InstallDirRegKey HKCU "${UNINSTALL}" "InstallLocation"
AllowSkipFiles off
ShowInstDetails nevershow
ShowUninstDetails nevershow

VIProductVersion "${NUMBERS}.0"
VIAddVersionKey /LANG=0 "ProductName" "${NAME}"
VIAddVersionKey /LANG=0 "ProductVersion" "${VERSION}"
VIAddVersionKey /LANG=0 "FileVersion" "${VERSION}"
VIAddVersionKey /LANG=0 "FileDescription" "${NAME}"
VIAddVersionKey /LANG=0 "CompanyName" "${PUBLISHER}"
VIAddVersionKey /LANG=0 "LegalCopyright" "MIT OR Apache-2.0"

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_RUN "$INSTDIR\petit.exe"
; The page has one more box: this is what it is used for.
!define MUI_FINISHPAGE_SHOWREADME
!define MUI_FINISHPAGE_SHOWREADME_NOTCHECKED
!define MUI_FINISHPAGE_SHOWREADME_TEXT "$(START_AT_LOGIN)"
!define MUI_FINISHPAGE_SHOWREADME_FUNCTION StartAtLogin
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"
!insertmacro MUI_LANGUAGE "German"
!include "texts.nsh"

Var Log
Var TrayRan
Var ClientRan
Var Left
Var Kept
Var Shortcut
Var Mutex
; 1 where this is the version before, which is to come back; 2 where the other one could not even be started.
Var Back
; 1 once the tray app of this version is in its place.
Var Placed
; 1 where the tray app has fetched this installer: the version is on trial.
Var Trial
; 1 where the version that is there was to go back: before.exe stays the way back.
Var Keep
; 1 once the version on trial has run.
Var Ran
Var Starts
Var Until
Var Since
Var Exit

; Writes a line down, for whoever installs it on many computers.
!macro LOG text
  FileWriteUTF16LE /BOM $Log "${text}$\r$\n"
!macroend

!macro SHARED un
; Gives back 1 where a program's file cannot be written because it runs, else 0.
Function ${un}IsRunning
  Exch $0
  ${If} ${FileExists} "$0"
    ClearErrors
    FileOpen $1 "$0" a
    ${If} ${Errors}
      StrCpy $0 1
    ${Else}
      FileClose $1
      StrCpy $0 0
    ${EndIf}
  ${Else}
    StrCpy $0 0
  ${EndIf}
  Exch $0
FunctionEnd

; Waits until a program has ended, for 15 seconds: it says goodbye to its server first. Gives back 1 where it has not.
Function ${un}HasNotEnded
  Exch $2
  StrCpy $Left 150
  ${Do}
    Push "$2"
    Call ${un}IsRunning
    Pop $0
    IntOp $Left $Left - 1
    ${If} $0 == 0
    ${OrIf} $Left == 0
      ${ExitDo}
    ${EndIf}
    Sleep 100
  ${Loop}
  StrCpy $2 $0
  Exch $2
FunctionEnd

; Asks the programs of this folder to end, and waits for it. Nothing has been changed where they do not.
Function ${un}EndPrograms
again:
  Push "$INSTDIR\petit.exe"
  Call ${un}IsRunning
  Pop $0
  ${If} $0 == 1
    nsExec::Exec /TIMEOUT=${PATIENCE} '"$INSTDIR\petit.exe" quit'
    Pop $0
    ; Where another program has the file open nothing was running.
    ${If} $0 != ${NOT_RUNNING}
      StrCpy $TrayRan 1
    ${EndIf}
    Push "$INSTDIR\petit.exe"
    Call ${un}HasNotEnded
    Pop $0
    ${If} $0 == 1
      Goto runs
    ${EndIf}
  ${EndIf}
  ; What runs without the tray, which is over now. By the user's own config: an administrator is shown the computer's
  ; service otherwise.
  Push "$INSTDIR\petit-client.exe"
  Call ${un}IsRunning
  Pop $0
  ${If} $0 == 1
    nsExec::Exec /TIMEOUT=${PATIENCE} '"$INSTDIR\petit-client.exe" --config "$PROFILE\${FOLDER}\config.toml" stop'
    Pop $0
    ${If} $0 == 0
      StrCpy $ClientRan 1
    ${EndIf}
    Push "$INSTDIR\petit-client.exe"
    Call ${un}HasNotEnded
    Pop $0
    ${If} $0 == 1
      Goto runs
    ${EndIf}
  ${EndIf}
  Return
runs:
  MessageBox MB_RETRYCANCEL|MB_ICONEXCLAMATION "$(STILL_RUNS)" /SD IDCANCEL IDRETRY again
  !insertmacro LOG "stopped: ${NAME} runs and did not end when it was asked to"
  Call ${un}GiveUp
  SetErrorLevel ${STILL_RUNNING}
  Quit
FunctionEnd

; Starts what was ended.
Function ${un}StartAgain
  ${If} $TrayRan == 1
    Exec '"$INSTDIR\petit.exe" --autostart'
    !insertmacro LOG "${NAME} was running and was started again"
  ${EndIf}
  ${If} $ClientRan == 1
    nsExec::Exec /TIMEOUT=${PATIENCE} '"$INSTDIR\petit-client.exe" --config "$PROFILE\${FOLDER}\config.toml" start'
    Pop $0
    !insertmacro LOG "petit-client was running and was started again ($0)"
  ${EndIf}
FunctionEnd

; Nothing comes of it: what is there stays, and runs again.
Function ${un}GiveUp
!if "${un}" == ""
  ${If} $Back <> 0
    ; What was there may have died before.
    StrCpy $TrayRan 1
  ${ElseIf} $Placed != 1
  ${AndIf} $Trial == 1
    ; The version that was to be tried is not.
    ${If} $Keep != 1
      Delete "$INSTDIR\.petit.exe.trial"
    ${ElseIf} $TrayRan == 1
      ; The one that was to go back has its own trial again where it is told.
      Exec '"$INSTDIR\petit.exe" --autostart --put-back'
      !insertmacro LOG "${NAME} was running and was started again"
      StrCpy $TrayRan 0
    ${EndIf}
  ${EndIf}
  RMDir /r "$INSTDIR\new"
!endif
  Call ${un}StartAgain
FunctionEnd

; One at a time.
Function ${un}Only
  System::Call 'kernel32::CreateMutexW(p 0, i 0, w "${ID}-setup") p .r0 ?e'
  Pop $1
  StrCpy $Mutex $0
  ${If} $1 == 183 ; ERROR_ALREADY_EXISTS
    MessageBox MB_OK|MB_ICONINFORMATION "$(SETUP_RUNS)" /SD IDOK
    SetErrorLevel ${RUNS_ALREADY}
    Quit
  ${EndIf}
FunctionEnd
!macroend
!insertmacro SHARED ""
!insertmacro SHARED "un."

Function .onInit
  ${IfNot} ${AtLeastWin10}
    MessageBox MB_OK|MB_ICONSTOP "$(TOO_OLD)" /SD IDOK
    SetErrorLevel ${NOT_SUPPORTED}
    Quit
  ${EndIf}
  Call Only
  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/BACK" $1
  ${IfNot} ${Errors}
    StrCpy $Back 1
    ${If} $1 == "=unused"
      StrCpy $Back 2
    ${EndIf}
    ; Where it lies, wherever another installation was made since.
    StrCpy $INSTDIR $EXEDIR
  ${EndIf}
  ClearErrors
  ${GetOptions} $0 "/TRIAL" $1
  ${IfNot} ${Errors}
    StrCpy $Trial 1
  ${EndIf}
  ClearErrors
  ${GetOptions} $0 "/KEEP" $1
  ${IfNot} ${Errors}
    StrCpy $Keep 1
  ${EndIf}
FunctionEnd

; Deletes a file. One that somebody looks at, a virus scanner or the desktop that draws an icon, cannot be deleted before
; they let go of it, which is waited for, for 5 seconds. Gives back 1 where it is still there.
Function un.IsLeft
  Exch $2
  StrCpy $Left 50
  ${Do}
    StrCpy $0 0
    ClearErrors
    Delete "$2"
    ${IfNot} ${Errors}
      ${ExitDo}
    ${EndIf}
    StrCpy $0 1
    IntOp $Left $Left - 1
    ${If} $Left == 0
      ${ExitDo}
    ${EndIf}
    Sleep 100
  ${Loop}
  StrCpy $2 $0
  Exch $2
FunctionEnd

Function un.onInit
  Call un.Only
FunctionEnd

; What was ended runs again, whatever the rest has come to.
Function .onInstFailed
  !insertmacro LOG "failed: a file could not be written"
  Call GiveUp
  SetErrorLevel 2
FunctionEnd

; Others must not be able to change what this user runs, so it goes into the user's own folder, which keeps them out.
Function CheckFolder
  ; Whether or not the folder is there yet.
  System::Call 'kernel32::GetFullPathNameW(w "$INSTDIR", i 1024, w .r0, p 0)'
  System::Call 'kernel32::GetFullPathNameW(w "$PROFILE", i 1024, w .r1, p 0)'
  StrLen $2 "$1\"
  StrCpy $0 "$0\" $2
  ${If} $0 != "$1\"
    MessageBox MB_OK|MB_ICONSTOP "$(NOT_YOURS)" /SD IDOK
    SetErrorLevel ${NOT_ITS_USERS}
    Quit
  ${EndIf}
FunctionEnd

; The name of the shortcut, which another one may have taken whose name is the same. $R0 is the version that is there.
Function ChooseShortcut
  ReadRegStr $Shortcut HKCU "${UNINSTALL}" "Shortcut"
  ${If} $Shortcut == ""
    StrCpy $Shortcut "${NAME}"
    ${If} $R0 == ""
    ${AndIf} ${FileExists} "$SMPROGRAMS\${NAME}.lnk"
      StrCpy $Shortcut "${NAME} (${ID})"
    ${EndIf}
  ${EndIf}
FunctionEnd

; Writes into the shortcut which app its program is: what Windows puts windows, notifications and pinned icons together by.
Function NameShortcut
  StrCpy $R1 1 ; the HRESULT of the last step that was taken
  !insertmacro ComHlpr_CreateInProcInstance ${CLSID_ShellLink} ${IID_IShellLink} r0 ""
  ${If} $0 P<> 0
    ${IUnknown::QueryInterface} $0 '("${IID_IPersistFile}", .r1)'
    ${IUnknown::QueryInterface} $0 '("${IID_IPropertyStore}", .r2)'
    ${If} $1 P<> 0
    ${AndIf} $2 P<> 0
      ; For reading and writing (STGM_READWRITE).
      ${IPersistFile::Load} $1 '("$SMPROGRAMS\$Shortcut.lnk", 2).R1'
      System::Call '*(&w260 "${APP_ID}")p.r3'
      System::Call '*(&g16, &i4)(${PKEY_AppUserModel_ID})p.r4' ; PROPERTYKEY
      System::Call '*(&i2 31, &i6 0, p r3, p 0)p.r5' ; PROPVARIANT with VT_LPWSTR
      ${If} $R1 >= 0
        ${IPropertyStore::SetValue} $2 '($4, $5).R1'
      ${EndIf}
      ${If} $R1 >= 0
        ${IPropertyStore::Commit} $2 '().R1'
      ${EndIf}
      ${If} $R1 >= 0
        ${IPersistFile::Save} $1 '("$SMPROGRAMS\$Shortcut.lnk", 1).R1'
      ${EndIf}
      System::Free $3
      System::Free $4
      System::Free $5
    ${EndIf}
    ${If} $2 P<> 0
      ${IUnknown::Release} $2 ""
    ${EndIf}
    ${If} $1 P<> 0
      ${IUnknown::Release} $1 ""
    ${EndIf}
    ${IUnknown::Release} $0 ""
  ${EndIf}
  ${If} $R1 == 0
    !insertmacro LOG "the start menu's entry is ${APP_ID}"
  ${Else}
    !insertmacro LOG "the start menu's entry could not be named ${APP_ID} ($R1): Windows may show it and its window as two"
  ${EndIf}
FunctionEnd

Function StartAtLogin
  WriteRegStr HKCU "${RUN}" "${ID}" '${AT_LOGIN}'
  DeleteRegValue HKCU "${APPROVED}" "${ID}"
FunctionEnd

; Makes links of a scheme lead here.
!macro TAKE_SCHEME scheme
  WriteRegStr HKCU "${CLASSES}\${scheme}" "" "URL:${NAME}"
  WriteRegStr HKCU "${CLASSES}\${scheme}" "URL Protocol" ""
  WriteRegStr HKCU "${CLASSES}\${scheme}\DefaultIcon" "" "$INSTDIR\petit.ico"
  WriteRegStr HKCU "${CLASSES}\${scheme}\shell\open\command" "" '"$INSTDIR\petit.exe" "%1"'
!macroend

; Leaves links alone that lead elsewhere meanwhile.
!macro GIVE_UP_SCHEME scheme
  ReadRegStr $0 HKCU "${CLASSES}\${scheme}\shell\open\command" ""
  ${If} $0 == '"$INSTDIR\petit.exe" "%1"'
    DeleteRegKey HKCU "${CLASSES}\${scheme}"
  ${EndIf}
!macroend

; Gives back the version of WebView2, or nothing.
!macro WEBVIEW2_VERSION root key
  ${If} $0 == ""
  ${OrIf} $0 == "0.0.0.0"
    ReadRegStr $0 ${root} "${key}\${WEBVIEW2}" "pv"
  ${EndIf}
!macroend

Function LookForWebView2
  StrCpy $0 ""
  !insertmacro WEBVIEW2_VERSION HKLM "SOFTWARE\WOW6432Node"
  !insertmacro WEBVIEW2_VERSION HKLM "SOFTWARE"
  !insertmacro WEBVIEW2_VERSION HKCU "Software"
  ${If} $0 == ""
  ${OrIf} $0 == "0.0.0.0"
    !insertmacro LOG "WebView2 is missing: ${NAME} works and shows its icon, but no window. It comes from Microsoft: ${WEBVIEW2_PAGE}"
    MessageBox MB_YESNO|MB_ICONINFORMATION "$(NO_WEBVIEW2)" /SD IDNO IDNO done
    ExecShell "open" "${WEBVIEW2_PAGE}"
done:
  ${Else}
    !insertmacro LOG "WebView2 is there: $0"
  ${EndIf}
FunctionEnd

; Has a new program say its version before anything makes way for it: one that does not run here changes nothing.
!macro TRY file
  nsExec::Exec /TIMEOUT=${PATIENCE} '"$INSTDIR\new\${file}" --version'
  Pop $0
  ${If} $0 != 0
    !insertmacro LOG "stopped: ${file} of ${VERSION} does not run here ($0)"
    RMDir /r "$INSTDIR\new"
    SetErrorLevel ${DOES_NOT_RUN}
    Quit
  ${EndIf}
!macroend

; Puts the first of two files in the place of the second one in one step: at any moment there is a whole one. One that
; somebody looks at, a virus scanner or the desktop that draws an icon, is waited for, for 5 seconds. Gives back 1 where it was
; not possible.
Function IsInTheWay
  Exch $2
  Exch
  Exch $1
  StrCpy $Left 50
  ${Do}
    ; MOVEFILE_REPLACE_EXISTING and MOVEFILE_WRITE_THROUGH
    System::Call 'kernel32::MoveFileExW(w r1, w r2, i 9) i .r0'
    IntOp $Left $Left - 1
    ${If} $0 <> 0
    ${OrIf} $Left == 0
      ${ExitDo}
    ${EndIf}
    Sleep 100
  ${Loop}
  ${If} $0 <> 0
    StrCpy $2 0
  ${Else}
    StrCpy $2 1
  ${EndIf}
  Pop $1
  Exch $2
FunctionEnd

; Gives back 1 where a file could not be put in its place, in $0.
!macro TRY_TO_PLACE file
  Push "$INSTDIR\new\${file}"
  Push "$INSTDIR\${file}"
  Call IsInTheWay
  Pop $0
!macroend

; Puts a file in its place.
!macro PLACE file
  !insertmacro TRY_TO_PLACE "${file}"
  ${If} $0 == 1
    ; Somebody may have started it meanwhile.
    Call EndPrograms
    !insertmacro TRY_TO_PLACE "${file}"
  ${EndIf}
  ${If} $0 == 1
    !insertmacro LOG "$INSTDIR\${file} cannot be written"
    Abort
  ${EndIf}
!macroend

; The installer of the version that is there becomes the way back. $R0 is that version.
Function KeepBefore
  ${If} $Back <> 0
  ${OrIf} $Keep == 1
  ${OrIf} $R0 == "${VERSION}"
  ${OrIf} $EXEPATH == "$INSTDIR\setup.exe"
  ${OrIfNot} ${FileExists} "$INSTDIR\setup.exe"
    Return
  ${EndIf}
  ; A copy: what goes wrong from here on does not take the next attempt's way back.
  ClearErrors
  CopyFiles /SILENT "$INSTDIR\setup.exe" "$INSTDIR\new\before.exe"
  StrCpy $0 1
  ${IfNot} ${Errors}
    !insertmacro TRY_TO_PLACE "before.exe"
  ${EndIf}
  ${If} $0 == 1
    ; Nor to one before that.
    Delete "$INSTDIR\before.exe"
    !insertmacro LOG "the installer of $R0 cannot be kept: there is no way back to it"
  ${EndIf}
FunctionEnd

; Starts the tray app; gives back its handle, or 0.
Function StartTray
  System::Alloc 104 ; STARTUPINFOW
  Pop $1
  System::Call '*$1(i 104)'
  System::Alloc 24 ; PROCESS_INFORMATION
  Pop $2
  StrCpy $3 '"$INSTDIR\petit.exe" --autostart'
  System::Call 'kernel32::CreateProcessW(p 0, w r3, p 0, p 0, i 0, i 0, p 0, w "$INSTDIR", p r1, p r2) i .r0'
  StrCpy $4 0
  ${If} $0 <> 0
    System::Call '*$2(p .r4, p .r5)'
    System::Call 'kernel32::CloseHandle(p r5)'
  ${EndIf}
  System::Free $1
  System::Free $2
  Push $4
FunctionEnd

; Waits until the tray app of a handle has ended, for as long as is left of the time that a trial is watched. Gives back how it
; has ended, or nothing where it runs.
Function HowTrayEnds
  Exch $1
  StrCpy $Exit ""
  ${Do}
    System::Call 'kernel32::WaitForSingleObject(p r1, i 1000) i .r0'
    ${If} $0 == 0
      System::Call 'kernel32::GetExitCodeProcess(p r1, *i .r0)'
      StrCpy $Exit $0
      ${ExitDo}
    ${EndIf}
    IntOp $Until $Until - 1
    ${If} $Until <= 0
    ${OrIfNot} ${FileExists} "$INSTDIR\.petit.exe.trial"
      ${ExitDo}
    ${EndIf}
  ${Loop}
  System::Call 'kernel32::CloseHandle(p r1)'
  StrCpy $1 $Exit
  Exch $1
FunctionEnd

; Gives back 1 where a version that has ended with 0 has left nobody there, though it is still on trial: it ran for less than
; AT_ONCE, and no installer is at it. $Since is what was left of the time when it was started.
Function HasLeft
  IntOp $0 $Since - $Until
  ${If} $0 < ${AT_ONCE}
    ; An installer that it has run needs a moment to begin, and whoever it has handed over to to be there.
    Sleep 5000
    System::Call 'kernel32::OpenMutexW(i 0x100000, i 0, w "${ID}-setup") p .r0' ; SYNCHRONIZE
    ${If} $0 P<> 0
      System::Call 'kernel32::CloseHandle(p r0)'
    ${ElseIf} ${FileExists} "$INSTDIR\.petit.exe.trial"
      Push "$INSTDIR\petit.exe"
      Call IsRunning
      Pop $0
      ${If} $0 == 0
        Push 1
        Return
      ${EndIf}
    ${EndIf}
  ${EndIf}
  Push 0
FunctionEnd

; Waits longer before each further start: what keeps a program from starting may pass.
Function RestBetweenStarts
  ${If} $Starts == 1
    Sleep 5000
  ${Else}
    Sleep 20000
  ${EndIf}
FunctionEnd

; Has the version before come back, and tries that again where it cannot be now.
Function HaveBefore
  StrCpy $1 "/BACK"
  ${If} $Ran != 1
    StrCpy $1 "/BACK=unused"
  ${EndIf}
  StrCpy $2 60000
  ${Do}
    ; What cannot be started leaves it as it is.
    StrCpy $0 1
    ExecWait '"$INSTDIR\before.exe" /S $1' $0
    ${If} $0 == 0
    ${OrIf} $2 > 900000
    ${OrIfNot} ${FileExists} "$INSTDIR\before.exe"
      ${ExitDo}
    ${EndIf}
    Sleep $2
    IntOp $2 $2 * 4
    ; Somebody has put another version here meanwhile, and before.exe is another one's, too.
    ReadRegStr $3 HKCU "${UNINSTALL}" "DisplayVersion"
    ${If} $3 != "${VERSION}"
      Return
    ${EndIf}
  ${Loop}
  ${If} $0 <> 0
    ; One that dies once more is better than none that is ever tried again.
    Exec '"$INSTDIR\petit.exe" --autostart'
  ${EndIf}
FunctionEnd

; Starts the version that was put back. What was written a moment ago may be held by a virus scanner.
Function StartPutBack
  ${If} $Back == 2
    ; It did not get to be tried.
    Delete "$INSTDIR\.petit.exe.trial"
  ${EndIf}
  StrCpy $Left 4
  ${Do}
    ClearErrors
    Exec '"$INSTDIR\petit.exe" --autostart --put-back'
    ${IfNot} ${Errors}
      !insertmacro LOG "${NAME} ${VERSION} was put back and was started"
      Return
    ${EndIf}
    Sleep 5000
    IntOp $Left $Left - 1
  ${LoopUntil} $Left == 0
  !insertmacro LOG "${NAME} ${VERSION} was put back and cannot be started"
  SetErrorLevel 2
FunctionEnd

; Starts a version that is on trial and watches whether it stays. One that dies at once cannot go back by itself.
Function WatchTrial
  !insertmacro LOG "${NAME} was running and was started again; ${VERSION} is on trial"
  FileClose $Log
  ; The version on trial may run the installer of the one before.
  System::Call 'kernel32::CloseHandle(p $Mutex)'
  ; Its own folder is nobody's to keep.
  SetOutPath "$TEMP"
  StrCpy $Starts 0
  StrCpy $Until ${WATCHED}
  ${Do}
    IntOp $Starts $Starts + 1
    Call StartTray
    Pop $0
    ${If} $0 == 0
      StrCpy $Exit "not started"
    ${Else}
      StrCpy $Ran 1
      StrCpy $Since $Until
      Push $0
      Call HowTrayEnds
      Pop $Exit
      ; The ones before are forgotten.
      IntOp $0 $Since - $Until
      ${If} $0 > ${ENDS_WITHIN}
        StrCpy $Starts 1
      ${EndIf}
    ${EndIf}
    ${If} $Exit == "0"
      Call HasLeft
      Pop $0
      ${If} $0 == 1
        StrCpy $Exit "0 at once"
      ${EndIf}
    ${EndIf}
    ${If} $Exit == ""
    ${OrIf} $Exit == "0"
    ${OrIfNot} ${FileExists} "$INSTDIR\petit.exe"
      Return
    ${EndIf}
    ; Where the computer goes down everything ends.
    System::Call 'user32::GetSystemMetrics(i 0x2000) i .r0' ; SM_SHUTTINGDOWN
    ${If} $0 <> 0
      Return
    ${EndIf}
    ${If} $Starts >= ${STARTS}
      ${ExitDo}
    ${EndIf}
    Call RestBetweenStarts
  ${Loop}
  Call AppendToLog
  !insertmacro LOG "${VERSION} does not stay: petit.exe has ended $Starts times, last with $Exit"
  ${If} ${FileExists} "$INSTDIR\before.exe"
    !insertmacro LOG "the version before comes back"
    FileClose $Log
    Call HaveBefore
  ${Else}
    !insertmacro LOG "there is no version to go back to"
    FileClose $Log
    Exec '"$INSTDIR\petit.exe" --autostart'
  ${EndIf}
  SetErrorLevel ${DOES_NOT_RUN}
  Quit
FunctionEnd

Function AppendToLog
  FileOpen $Log "$INSTDIR\install.log" a
  FileSeek $Log 0 END
FunctionEnd

Section
  Call CheckFolder
  SetOutPath "$INSTDIR"
  ${If} $Back <> 0
    Call AppendToLog
  ${Else}
    FileOpen $Log "$INSTDIR\install.log" w
  ${EndIf}
  !insertmacro LOG "${NAME} ${VERSION} into $INSTDIR"
  ReadRegStr $R0 HKCU "${UNINSTALL}" "DisplayVersion"

  ; Beside their places first: whatever fails meanwhile (a full disk) has changed nothing, and ended nobody.
  SetOutPath "$INSTDIR\new"
  File "${PAYLOAD}\petit.exe"
  File "${PAYLOAD}\petit-client.exe"
  File "${PAYLOAD}\WebView2Loader.dll"
  File "${PAYLOAD}\petit.ico"
  File "${PAYLOAD}\LICENSE.txt"
!ifdef BRAND
  File "${PAYLOAD}\brand.toml"
!endif
!ifdef ROOTS
  File "${PAYLOAD}\petit-roots.pub"
!endif
  ${If} $EXEPATH != "$INSTDIR\setup.exe"
    ClearErrors
    CopyFiles /SILENT "$EXEPATH" "$INSTDIR\new\setup.exe"
    ${If} ${Errors}
      !insertmacro LOG "$INSTDIR\new\setup.exe cannot be written"
      Abort
    ${EndIf}
    ; Whatever the one that was started is marked with.
    SetFileAttributes "$INSTDIR\new\setup.exe" NORMAL
  ${EndIf}
  SetOutPath "$INSTDIR"
  !insertmacro TRY "petit.exe"
  !insertmacro TRY "petit-client.exe"
  Call EndPrograms
  !insertmacro PLACE "petit-client.exe"
  !insertmacro PLACE "WebView2Loader.dll"
  !insertmacro PLACE "petit.ico"
  !insertmacro PLACE "LICENSE.txt"
!ifdef BRAND
  !insertmacro PLACE "brand.toml"
!endif
!ifdef ROOTS
  !insertmacro PLACE "petit-roots.pub"
!endif
  Call KeepBefore
  ; Last of the programs: until then what starts is the version that was there.
  !insertmacro PLACE "petit.exe"
  StrCpy $Placed 1
  ; Before its installer is kept as that of this version.
  WriteRegStr HKCU "${UNINSTALL}" "DisplayVersion" "${VERSION}"
  ${If} $EXEPATH != "$INSTDIR\setup.exe"
    !insertmacro TRY_TO_PLACE "setup.exe"
    ${If} $0 == 1
      !insertmacro LOG "$INSTDIR\setup.exe cannot be written: the next version has no way back to this one"
    ${EndIf}
  ${EndIf}
  RMDir /r "$INSTDIR\new"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  Call ChooseShortcut
  CreateShortcut "$SMPROGRAMS\$Shortcut.lnk" "$INSTDIR\petit.exe" "" "$INSTDIR\petit.ico"
  Call NameShortcut

!ifdef BRAND
  !insertmacro TAKE_SCHEME "${SCHEME}"
!endif
  ; An upgrade takes petit: links from nobody.
  ReadRegStr $0 HKCU "${CLASSES}\petit\shell\open\command" ""
  ${If} $R0 == ""
  ${OrIf} $0 == ""
    !insertmacro TAKE_SCHEME "petit"
  ${EndIf}
  System::Call 'shell32::SHChangeNotify(i 0x08000000, i 0, p 0, p 0)' ; SHCNE_ASSOCCHANGED

  ; Notifications name their sender by it.
  WriteRegStr HKCU "${CLASSES}\AppUserModelId\${APP_ID}" "DisplayName" "${NAME}"
  WriteRegStr HKCU "${CLASSES}\AppUserModelId\${APP_ID}" "IconUri" "$INSTDIR\petit.ico"

  WriteRegStr HKCU "${UNINSTALL}" "DisplayName" "${NAME}"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayIcon" "$INSTDIR\petit.ico"
  WriteRegStr HKCU "${UNINSTALL}" "Publisher" "${PUBLISHER}"
  WriteRegStr HKCU "${UNINSTALL}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL}" "Shortcut" "$Shortcut"
  WriteRegStr HKCU "${UNINSTALL}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${UNINSTALL}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${UNINSTALL}" "NoModify" 1
  WriteRegDWORD HKCU "${UNINSTALL}" "NoRepair" 1
  ${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
  WriteRegDWORD HKCU "${UNINSTALL}" "EstimatedSize" $0

  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/AUTOSTART" $1
  ${IfNot} ${Errors}
    Call StartAtLogin
    !insertmacro LOG "it starts when its user logs in"
  ${EndIf}
  Call LookForWebView2
  ${If} $Back <> 0
    ; Also where what was there did not run any more.
    Call StartPutBack
    StrCpy $TrayRan 0
  ${EndIf}
  StrCpy $0 0
  ${If} $TrayRan == 1
  ${AndIf} ${Silent}
  ${AndIf} ${FileExists} "$INSTDIR\.petit.exe.trial"
    StrCpy $0 1
    StrCpy $TrayRan 0
  ${EndIf}
  Push $0
  Call StartAgain
  Pop $0
  !insertmacro LOG "done"
  ${If} $0 == 1
    Call WatchTrial
  ${Else}
    FileClose $Log
  ${EndIf}
SectionEnd

; Removes what is kept in the user's folder, the device's key included. At the vendor's the registration stays.
Function un.Purge
  ${If} ${FileExists} "$PROFILE\${FOLDER}\registry.db"
    ; A server of this user lives in the same folder: what it holds cannot be made again.
    MessageBox MB_OK|MB_ICONEXCLAMATION "$(SERVER_THERE)" /SD IDOK
    Return
  ${EndIf}
  ; The key may be in the keychain.
  nsExec::Exec '"$INSTDIR\petit-client.exe" --config "$PROFILE\${FOLDER}\config.toml" unregister --local --yes'
  Pop $0
  RMDir /r "$PROFILE\${FOLDER}"
FunctionEnd

; Removes a file, and writes down where that was not possible.
!macro REMOVE file
  Push "$INSTDIR\${file}"
  Call un.IsLeft
  Pop $0
  ${If} $0 == 1
    !insertmacro LOG "$INSTDIR\${file} is still there: another program has it open"
    StrCpy $Kept 1
  ${EndIf}
!macroend

Section Uninstall
  ; Under another name than the programs, and not in the folder that is to go.
  FileOpen $Log "$TEMP\${ID}-uninstall.log" w
  Call un.EndPrograms
  ${If} ${FileExists} "$PROFILE\${FOLDER}"
    ${GetParameters} $0
    ClearErrors
    ${GetOptions} $0 "/PURGE" $1
    ${IfNot} ${Errors}
      Call un.Purge
    ${Else}
      MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "$(PURGE)" /SD IDNO IDNO kept
      Call un.Purge
kept:
    ${EndIf}
  ${EndIf}

  ReadRegStr $0 HKCU "${RUN}" "${ID}"
  ${If} $0 == '${AT_LOGIN}'
    DeleteRegValue HKCU "${RUN}" "${ID}"
    DeleteRegValue HKCU "${APPROVED}" "${ID}"
  ${EndIf}
!ifdef BRAND
  !insertmacro GIVE_UP_SCHEME "${SCHEME}"
!endif
  !insertmacro GIVE_UP_SCHEME "petit"
  DeleteRegKey HKCU "${CLASSES}\AppUserModelId\${APP_ID}"
  ReadRegStr $Shortcut HKCU "${UNINSTALL}" "Shortcut"
  ${If} $Shortcut != ""
    Delete "$SMPROGRAMS\$Shortcut.lnk"
  ${EndIf}
  DeleteRegKey HKCU "${UNINSTALL}"
  ; What WebView2 keeps of the window, which nobody else has a use for.
  RMDir /r "$LOCALAPPDATA\${APP_ID}"

  !insertmacro REMOVE "petit.exe"
  !insertmacro REMOVE "petit-client.exe"
  !insertmacro REMOVE "WebView2Loader.dll"
  !insertmacro REMOVE "petit.ico"
  !insertmacro REMOVE "LICENSE.txt"
  !insertmacro REMOVE "brand.toml"
  !insertmacro REMOVE "petit-roots.pub"
  !insertmacro REMOVE "setup.exe"
  !insertmacro REMOVE "before.exe"
  !insertmacro REMOVE ".petit.exe.trial"
  !insertmacro REMOVE ".petit.exe.updating"
  !insertmacro REMOVE "install.log"
  RMDir /r "$INSTDIR\new"
  ; Not from within the folder that is to go, and until everybody has let go of it: of the program that has started
  ; this one, and of files that a virus scanner looks at. A user's own files in it keep it.
  SetOutPath "$TEMP"
  StrCpy $Left 50
  ${Do}
    Delete "$INSTDIR\uninstall.exe"
    RMDir "$INSTDIR"
    IntOp $Left $Left - 1
    ${IfNot} ${FileExists} "$INSTDIR\*.*"
    ${OrIf} $Left == 0
      ${ExitDo}
    ${EndIf}
    Sleep 100
  ${Loop}
  FileClose $Log
  ${If} $Kept == 1
    SetErrorLevel 2
  ${Else}
    Delete "$TEMP\${ID}-uninstall.log"
  ${EndIf}
SectionEnd
