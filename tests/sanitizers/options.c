/* Options of AddressSanitizer, linked into each program: a probe gets no environment to read them
 * from. Reports go to files that begin with REPORTS, because a test may not see how a server's
 * process ended. Signals stay the kernel's, because tests check which one ended a process. */
const char *__asan_default_options(void) {
    return "log_path=" REPORTS
           ":detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0"
           ":handle_abort=0";
}

/* Leaks on purpose, for runs with detect_leaks=1. */
const char *__lsan_default_suppressions(void) {
    /* A panic's payload that panics when it is dropped is never dropped again. */
    return "leak:hotcall_plugin::export::panic_text\n";
}
