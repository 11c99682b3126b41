/*
 * Log: one line an event to standard error: time, level, event name, key=value pairs. With
 * syslog priority prefixes ("<6>") and without the time when $JOURNAL_STREAM says that
 * standard error goes to the journal. JSON by log_setup(). Values with blanks are quoted and
 * control bytes escaped, so a line is always a line. Never blocks: standard error is made
 * non-blocking for pipes, and what does not fit is counted and reported later as one
 * "log.dropped". Secrets never get here: callers do not pass them.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_LEVEL_ERROR = 0, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_setup {
    const char *process; /* "master", "worker 1", "ledger": copied */
    enum log_level level_max;
    bool json;
};

void log_setup(const struct log_setup *setup); /* at start and after each fork */

/*
 * event is "noun.verb"; fmt makes the pairs: log_warn("upstream.failed", "upstream=%s ms=%u", …).
 * Values that may hold blanks are printed through log_quote().
 */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for who can wait and ask again: false when it could not be written now, which then is not
 * counted as dropped. */
bool log_try(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4) MUST_CHECK;
#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* "<3>" and the like where standard error is the journal, else "": before lines that are no events, such as
 * what is wrong with an option. Also before log_setup(). */
const char *log_priority(enum log_level level);

/* s quoted and escaped for a log value, in one of 8 rotating static buffers of 256 bytes. */
const char *log_quote(struct str s);

#endif
