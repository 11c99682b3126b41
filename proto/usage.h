/*
 * What was used, as upstreams report it, in classes that do not overlap unless it says so below:
 * all there is to pay for, whichever protocol reported it.
 *
 *     OpenAI, Responses: prompt/input tokens include cached and cache-written ones;
 *                        these are taken out of input.
 *     Anthropic:         input_tokens excludes both; cache writes are split by lifetime,
 *                        those without a split count as 5 minutes.
 *     Gemini:            promptTokenCount includes cached tokens, which are taken out of input, and
 *                        excludes those of hosted tools, which are added; the thoughts are
 *                        added to the output.
 *
 * Some servers leave reasoning out of the completion's tokens; their total says so.
 *
 * A report that is partial, negative, a fraction, a string, above the cap, or does not add up
 * (more cached than prompt tokens, a total that is far off) is BAD, and for money the same as
 * absent.
 */
#ifndef PROTO_USAGE_H
#define PROTO_USAGE_H

#include "base/base.h"
#include "base/js.h"

#define USAGE_COUNT_MAX 1000000000u

enum usage_state {
    USAGE_ABSENT = 0,
    USAGE_PRESENT,
    USAGE_ZERO, /* reported, and every count is zero */
    USAGE_BAD,
    USAGE_STATE_COUNT
};
extern const char *const usage_state_name[USAGE_STATE_COUNT];

/* The counts are meant only when state is PRESENT, and 0 otherwise. */
struct usage {
    enum usage_state state;
    uint32_t input;
    uint32_t audio_input, image_input; /* within input */
    uint32_t cache_read;
    uint32_t cache_write_5m;
    uint32_t cache_write_1h;
    uint32_t output;
    uint32_t reasoning, audio_output, image_output; /* within output */
    uint32_t images, seconds, characters, searches; /* these are not tokens */
    uint32_t requests; /* that were answered; 0, as all reports have it, is 1 */
};

/* value is the usage object itself. JS_NONE and null give ABSENT, any other type BAD. */
struct usage usage_from_openai(struct js_value value);     /* chat, completions */
struct usage usage_from_embeddings(struct js_value value); /* no output */
struct usage usage_from_responses(struct js_value value);
/* Of one response of a realtime session, or of a transcription in it. */
struct usage usage_from_realtime(struct js_value value);
struct usage usage_from_anthropic(struct js_value value);
/* value is an answer that counts tokens: {"input_tokens":N}, name being that of the member. */
struct usage usage_from_count_tokens(struct js_value value, struct str name);
struct usage usage_from_gemini(struct js_value value); /* usageMetadata; of embeddings, too */

/*
 * Of what may be paid by other units than tokens (usage_media.c). Where nobody tells otherwise the
 * output of pictures and of speech is all of that kind.
 */
struct usage usage_from_images(struct js_value value);
struct usage usage_from_speech(struct js_value value);
/* What was heard: tokens, or seconds rounded up; answer is all of it, which may have its own
 * "duration". */
struct usage usage_from_sound(struct js_value value, struct js_value answer);
/* Ranking and moderation: tokens that went in, or searches; Jina's "usage", Cohere's "meta". */
struct usage usage_from_ranking(struct js_value value, struct js_value answer);

/*
 * Anthropic's reports in a stream: message_start, then message_delta with cumulative
 * counts; fields that are not null replace the earlier ones. Kept raw until asked for,
 * since a later report may have the total of cache writes without its split.
 */
struct usage_anthropic {
    uint32_t input, cache_read, cache_write, write_5m, write_1h, output, reasoning, searches;
    uint8_t seen; /* bit a field, in the order above */
    bool bad;
    bool final; /* a message_delta reported the output */
};
void usage_anthropic_merge(struct usage_anthropic *usage, struct js_value value, bool is_delta);
/* What the reports amount to. Input and output must both be known; before a message_delta only
 * usable for progress. */
struct usage usage_anthropic_sum(const struct usage_anthropic *usage);

/* Counts of several reports together: BAD when one is, or when they are too many. */
struct usage usage_sum(struct usage a, struct usage b);

/* Searches of the web among the items of a response's "output". */
uint32_t usage_searches_in(struct js_value items);

#endif
