/* Faults: what an answer is to look like, and what is to go wrong with it (fault.c). */
#ifndef MOCK_FAULT_H
#define MOCK_FAULT_H

#include "base/base.h"
#include "base/js.h"

enum fault {
    /* The shape of the answer: kept when `times` is used up. */
    F_WORDS = 0,
    F_PAD,
    F_DELAY,
    F_GAP,
    F_BATCH,
    F_INPUT_TOKENS,
    F_OUTPUT_TOKENS,
    F_CACHED,
    F_CACHE5M,
    F_CACHE1H,
    F_REASONING,
    F_HIDE_REASONING,
    F_AUDIO_IN,
    F_IMAGE_IN,
    F_AUDIO_OUT,
    F_IMAGE_OUT,
    F_IMAGES,
    F_SECONDS,
    F_CHARACTERS,
    F_SEARCHES,
    F_SERVICE,
    F_TOTAL,
    F_TOOLS,
    F_STAMP,
    F_CHUNKED,
    F_UNTIL_CLOSE,
    F_CLOSE,
    F_CLOSE_AFTER,
    F_COMMENTS,
    F_PINGS,
    F_CRLF,
    F_CR,
    F_BOM,
    F_MULTI_LINE,
    F_NO_SPACE,
    F_DRIP,
    F_SPLIT_UTF8,
    F_SET_COOKIE,
    F_HUGE_LINE,
    F_USAGE_EVERY_CHUNK,
    F_USAGE_ON_FINISH,
    F_TEXT,
    F_FINISH,
    F_REDACTED,
    F_REASONING_FIELD,
    F_INTERLEAVE,
    F_WHOLE_CALLS,
    F_NO_INDEX,
    F_STOP_WITH_CALLS,
    F_LENIENT,
    F_TOOL,
    F_ARGS,
    F_WHOLE,
    F_STREAMED,
    F_SHAPE_COUNT,
    /* What goes wrong: gone when `times` is used up. */
    F_STATUS = F_SHAPE_COUNT,
    F_RETRY_AFTER,
    F_QUOTA,
    F_TOO_LONG,
    F_HANGUP,
    F_CUT,
    F_CUT_HOW,
    F_CUT_CLEAN,
    F_CUT_HEAD,
    F_STALL,
    F_NO_DONE,
    F_NO_USAGE,
    F_ZERO_USAGE,
    F_NULL_USAGE,
    F_BAD_USAGE,
    F_GARBAGE,
    F_ENDLESS_HEADERS,
    F_ENDLESS_1XX,
    F_ENDLESS_LINE,
    F_REDIRECT,
    F_GZIP,
    F_HTML,
    F_EMPTY,
    F_ERROR_IN_200,
    F_ERROR_FIRST,
    F_ERROR_MID,
    F_BAD_EVENT,
    F_OTHER_MODEL,
    F_EARLY_END,
    F_EXTRA_BYTES,
    F_ECHO_AUTH,
    F_BLOCKED,
    /* How long: */
    F_TIMES,
    F_ID,
    FAULT_COUNT
};

enum { CUT_FIN = 1, CUT_RST = 2 };
enum { HEAD_HALF = 1, HEAD_WHOLE = 2 };
enum { GARBAGE_BODY = 1, GARBAGE_HEAD = 2 };
enum {
    BAD_NEGATIVE = 1,
    BAD_STRING,
    BAD_FRACTION,
    BAD_HUGE,
    BAD_PARTIAL,
    BAD_OBJECT,
};

#define FAULT_ABSENT (-1)

struct faults {
    int32_t value[FAULT_COUNT]; /* FAULT_ABSENT, or what was asked, never negative */
};

void faults_clear(struct faults *f);
/* Lays the members of a JSON object, or the +key=value parts of a model's name, over f. False and a
 * message in why (cap bytes) when a key or value is unknown. */
bool MUST_CHECK faults_read_object(struct faults *f, struct js_value object, char *why, size_t cap);
bool MUST_CHECK faults_read_suffix(struct faults *f, struct str model, char *why, size_t cap);
void faults_overlay(struct faults *f, const struct faults *over);
bool faults_any(const struct faults *f);
/* Only such keys are set as leave a whole answer the same bytes every time. */
bool faults_only_plain(const struct faults *f);
/* Applies times and id: drops what goes wrong when this id has failed often enough. */
void faults_count_times(struct faults *f);
void faults_forget_times(void);
/* Defaults set by POST /sim/faults, for the next calls. */
void faults_default_set(const struct faults *f, uint64_t next_calls);
void faults_default_take(struct faults *f);
bool faults_default_active(void);

static inline bool
fault_set(const struct faults *f, enum fault key)
{
    return f->value[key] != FAULT_ABSENT;
}

static inline bool
fault_on(const struct faults *f, enum fault key)
{
    return f->value[key] > 0;
}

static inline uint32_t
fault_get(const struct faults *f, enum fault key, uint32_t otherwise)
{
    return f->value[key] == FAULT_ABSENT ? otherwise : (uint32_t)f->value[key];
}

/* The text of a fault that holds one, and is set. */
struct str fault_text(const struct faults *f, enum fault key);

/* What F_SERVICE names, from 1. */
extern const char *const service_names[];
/* The service tier that an answer reports: that, or the protocol's own word for the usual one. */
const char *service_named(const struct faults *f, const char *usual);

#endif
