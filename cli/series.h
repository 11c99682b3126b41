/*
 * A series of equal steps of time, as `turnpike plot` draws it: one or two values a step, in the smallest
 * unit of what they are. Steps without calls are 0, but in a series of times, where there is none.
 */
#ifndef CLI_SERIES_H
#define CLI_SERIES_H

#include "base/buf.h"

#define SERIES_VALUES 2u
#define SERIES_STEPS_MAX 10000u

enum series_what { SERIES_SPEND = 0, SERIES_TOKENS, SERIES_CALLS, SERIES_LATENCY, SERIES_WHAT_COUNT };

/* What a series is of: how it is drawn and how its figures read. */
struct series_kind {
    const char *name;  /* "spend", as it is asked for */
    const char *title; /* "credits spent" */
    const char *value[SERIES_VALUES]; /* members in JSON, words of the legend; the second may be NULL */
    /* The second lies on the first (tokens), or holds it (the slowest of a hundred, the middle one). */
    bool stacked;
    bool summed; /* neighbours are added when there is no room for all; else the greatest counts */
    void (*text)(int64_t value, char *out, size_t cap); /* "0.25", "12.3k", "45ms" */
};
extern const struct series_kind series_kinds[SERIES_WHAT_COUNT];

struct series_step {
    int64_t value[SERIES_VALUES]; /* micro-credits, tokens, calls, or microseconds */
    bool known;
};

struct series {
    const struct series_kind *kind;
    const char *of;    /* "tenant acme, model gpt-5", or "" */
    bool by_hour;
    int64_t since_us;  /* start of the first step, wall time */
    int64_t step_us;
    struct series_step *steps;
    uint32_t count;
};

/* How high a step is: what is drawn of it in all. */
int64_t series_height(const struct series_kind *kind, const struct series_step *step);
/* The least round number that no step is higher than, and whose quarters are round, too: 4, 8 or 20 and
 * noughts. */
int64_t series_top(const struct series *series);
/* The same in at most so many steps, each as long as several. steps is the caller's, with room for most. */
struct series series_fold(const struct series *series, uint32_t most, struct series_step *steps);
/* What stands below a step: "11-24" or, of the hours of two days at most, "14:00". Of more hours only the
 * days: false for steps in which none begins. */
#define SERIES_LABEL_LEN 5u
bool series_label(const struct series *series, uint32_t step, char out[SERIES_LABEL_LEN + 1]);
/* "credits spent by hour, 2026-11-23 14:00 to …, tenant acme; in all 12.5, at most 0.9 an hour" */
void series_title(const struct series *series, struct buf *out);

/* Lines of text for a terminal, no wider than that. */
struct plot_text {
    unsigned width, rows; /* columns; of the drawing itself */
    bool ascii;
};
void plot_text(const struct series *series, const struct plot_text *how, struct buf *out);
/* A picture that needs nothing else: to be read in light and in dark, by people and by screen readers. */
void plot_svg(const struct series *series, struct buf *out);

#endif
