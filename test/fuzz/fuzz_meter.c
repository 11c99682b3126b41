/* The meter: whatever an upstream streams, nothing passes before it was understood, no chunk with
 * empty choices reaches a client that did not ask, counts stay within bounds. The first byte says
 * which endpoint, the second how the stream is sliced. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/error.h"
#include "proto/meter.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct str secret = {"sk-very-secret-key", 18};
static const struct error_secrets secrets = {&secret, 1};

static void
check_counts(const struct meter *meter)
{
    struct meter_progress progress = meter_progress(meter);
    struct usage usage = meter_usage(meter);

    ASSERT(progress.usage.state == USAGE_PRESENT);
    ASSERT(progress.usage.output <= USAGE_COUNT_MAX);
    ASSERT(progress.usage.reasoning <= progress.usage.output);
    ASSERT(usage.state == USAGE_PRESENT ||
           (usage.input | usage.cache_read | usage.cache_write_5m | usage.cache_write_1h |
            usage.output | usage.reasoning) == 0);
    ASSERT(usage.input <= USAGE_COUNT_MAX && usage.cache_read <= USAGE_COUNT_MAX);
    ASSERT(usage.reasoning <= usage.output);
    ASSERT(strlen(meter->model) < METER_MODEL_CAP);
    ASSERT(meter->understood || !meter->answered);
    ASSERT(!meter->answered || meter_content(meter) == CONTENT_SOME);
}

/* Read again by the full parser what passed without it. */
static void
check_passed(const struct meter *meter, const struct sse_event *event)
{
    struct js_value document, choices, key, value;
    struct js_error fault;
    struct js_iter it;

    ASSERT(meter->understood);
    if (proto_of(meter->endpoint) != PROTO_OPENAI || proto_is_media(meter->endpoint) ||
        meter->usage_asked || !js_check(event->data, &document, &fault))
        return;
    /* Names with escapes are not looked for in events that only pass. */
    for (js_iter_init(&it, document); js_next(&it, &key, &value);) {
        if (key.escaped)
            return;
    }
    choices = js_get(document, STR("choices"));
    if (choices.type == JS_ARRAY) {
        js_iter_init(&it, choices);
        ASSERT(js_next(&it, &key, &value));
    }
    ASSERT(js_get(document, STR("error")).type != JS_OBJECT);
}

/* True to go on. */
static bool
take(struct meter *meter, struct sse_event *event)
{
    bool ended = meter->ended;
    enum meter_verdict verdict = meter_event(meter, event);
    struct proto_error error;

    check_counts(meter);
    switch (verdict) {
    case METER_PASS:
        ASSERT(!ended);
        check_passed(meter, event);
        return true;
    case METER_HIDE: return true;
    case METER_END: ASSERT(!ended && meter->ended && meter->understood); return true;
    case METER_UPSTREAM_ERROR:
        error_from_object(event->data, secrets, &error);
        ASSERT(strstr(error.message, "sk-very-secret-key") == NULL);
        ASSERT(error.message[0] != '\0');
        return false;
    case METER_BAD:
    case METER_VERDICT_COUNT: break;
    }
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const enum proto_endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_COMPLETIONS,
                                                    ENDPOINT_RESPONSES, ENDPOINT_MESSAGES};
    static const enum proto_endpoint media[] = {ENDPOINT_IMAGES, ENDPOINT_SPEECH,
                                                ENDPOINT_TRANSCRIPTIONS};
    enum proto_endpoint endpoint;
    struct sse_event event;
    struct meter meter;
    struct sse sse;
    bool going = true;
    unsigned seed;

    if (len < 2)
        return 0;
    seed = bytes[1];
    sse_init(&sse, 4096);
    endpoint = (bytes[0] & 0x40) != 0 ? media[bytes[0] % COUNT_OF(media)]
                                      : endpoints[bytes[0] % COUNT_OF(endpoints)];
    meter_init(&meter, endpoint, (bytes[0] & 0x80) != 0);
    for (size_t at = 2; at < len && going;) {
        size_t step = 1 + (size_t)rand_r(&seed) % (1 + 4u * bytes[1]);
        char *feed;
        int rc;

        step = MIN(step, len - at);
        feed = malloc(step);
        memcpy(feed, bytes + at, step);
        sse_feed(&sse, (struct str){feed, step});
        while ((rc = sse_next(&sse, &event)) == 1 && going)
            going = take(&meter, &event);
        going = going && rc == 0 && sse_keep(&sse) == 0;
        free(feed);
        at += step;
    }
    if (going && sse_last(&sse, &event))
        going = take(&meter, &event);
    if (meter.ended)
        ASSERT(meter_finish(&meter) == METER_FINISH_CLEAN);
    check_counts(&meter);
    sse_free(&sse);
    return 0;
}
