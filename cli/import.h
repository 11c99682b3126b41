/*
 * Other people's price lists, made into text of models.conf's form. Two formats: LiteLLM's price
 * file (an object of models, dollars a token as JSON numbers) and OpenRouter's list of models (an
 * array, dollars a token as strings).
 *
 * A price is taken exactly or not at all: its decimal text is scaled to millionths of a dollar per
 * million tokens, and what is finer than that is refused, never rounded. What is taken is checked
 * by conf/ itself before it is kept, so that the text as a whole passes `turnpike check`. Pure:
 * text in, text out, no files.
 */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "base/base.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"

enum import_format { IMPORT_ANY = 0, IMPORT_LITELLM, IMPORT_OPENROUTER, IMPORT_FORMAT_COUNT };
extern const char *const import_format_name[IMPORT_FORMAT_COUNT];

/* Prices that models.conf can state, in the order in which they are written. */
enum import_price {
    IMPORT_INPUT = 0,
    IMPORT_OUTPUT,
    IMPORT_CACHE_READ,
    IMPORT_CACHE_WRITE,
    IMPORT_CACHE_WRITE_1H,
    IMPORT_REASONING,
    IMPORT_AUDIO_INPUT,
    IMPORT_AUDIO_OUTPUT,
    IMPORT_IMAGE_INPUT,
    IMPORT_IMAGE_OUTPUT,
    IMPORT_PER_REQUEST,
    IMPORT_PER_SEARCH,
    IMPORT_PRICE_COUNT
};

struct import_prices {
    int64_t u[IMPORT_PRICE_COUNT]; /* micro-dollars per million tokens, or each */
    uint32_t have;                 /* 1u << enum import_price */
};

#define IMPORT_TIER_COUNT_MAX 8
struct import_tier {
    uint64_t above_tokens;
    struct import_prices prices;
};

/* Service tiers of a provider's that a list may price. */
enum import_service { IMPORT_FLEX = 0, IMPORT_PRIORITY, IMPORT_SERVICE_COUNT };
extern const char *const import_service_name[IMPORT_SERVICE_COUNT];

#define IMPORT_WHY_LEN 256
#define IMPORT_UNTAKEN_LEN 512

/* One model of the list, while it is read. */
struct import_entry {
    struct str key;  /* as the list calls it; STR_NONE: not at all */
    struct str name; /* as it will stand in models.conf */
    bool embedding;
    struct import_prices prices;
    struct import_tier tiers[IMPORT_TIER_COUNT_MAX];
    size_t tier_count;
    struct import_prices services[IMPORT_SERVICE_COUNT];
    uint64_t context_tokens;    /* 0: not stated */
    uint64_t output_tokens_max; /* 0: not stated */
    unsigned can;               /* 1u << enum conf_can */
    struct str source;          /* STR_NONE: not stated */
    /* Names of what the list states and models.conf cannot, "a, b"; cut when there are many. */
    char untaken[IMPORT_UNTAKEN_LEN];
    char why[IMPORT_WHY_LEN]; /* why it is refused */
};

struct import {
    enum import_format format; /* IMPORT_ANY becomes the one found */
    struct str maker;          /* only this one's models; STR_NONE: all */
    struct buf text;           /* sections of models.conf */
    /* A JSON array of {"model", "taken", "why"}: what was not taken, or not all of it. */
    struct buf notes;
    unsigned taken;
    unsigned refused;
    /* The importer's own. */
    struct jw jw;
    struct arena arena;
    struct str *names;
    size_t name_count;
};

void import_init(struct import *import);
void import_free(struct import *import);
/*
 * Reads the list. NULL, or what is wrong with the whole of it (out of memory too), in which case
 * text and notes are of no use. Once after import_init().
 */
const char *import_run(struct import *import, struct str json) MUST_CHECK;

/* ---- inside of the importer ------------------------------------------------------------------ */

/* The readers fill the entry, its key and name included; false: refused, entry->why says why. */
bool import_litellm(struct import *import, struct js_value key, struct js_value value,
                    struct import_entry *entry);
bool import_openrouter(struct import *import, struct js_value value, struct import_entry *entry);

/* Is the entry by the maker that is asked for? name: as the list calls the maker. */
bool import_by_maker(const struct import *import, struct js_value name);
bool import_is_maker(const struct import *import, struct str name);

/* A string's text, or STR_NONE when it is none or there is no memory. Lives with the import. */
struct str import_text(struct import *import, struct js_value value);
bool import_refuse(struct import_entry *entry, const char *fmt, ...) PRINTF_LIKE(2, 3);
void import_untaken(struct import_entry *entry, struct str name);
/*
 * Takes a price of that name in the list: dollars a token (or each, as the price is) as a number
 * or a string of one. False: it makes the entry refused.
 */
bool import_take(struct import_entry *entry, struct import_prices *to, enum import_price price,
                 struct str name, struct js_value value) MUST_CHECK;
/* Notes a price of an unknown kind, unless it is 0 or null. */
void import_pass(struct import_entry *entry, struct str name, struct js_value value);
/* The tier of that bound, made when there is none; NULL when there are too many (refused). */
struct import_tier *import_tier(struct import_entry *entry, uint64_t above_tokens);
/* A count of tokens; 0 and a note in untaken when it is not one. */
uint64_t import_count(struct import_entry *entry, const char *name, struct js_value value);

#endif
