/*
 * What a call is in the words of OpenTelemetry's semantic conventions for generative AI: which operation,
 * whose provider, what went wrong. Pure, over tables that are made once.
 */
#ifndef TELEMETRY_CALL_H
#define TELEMETRY_CALL_H

#include "base/base.h"
#include "conf/conf.h"
#include "shm/event.h"
#include "shm/region.h"

/* An upstream as spans tell of it. */
struct provider {
    char upstream[CONF_NAME_LEN_MAX + 1]; /* as routes.conf calls it */
    const char *name; /* gen_ai.provider.name; static text */
    char host[254];
    uint16_t port;
};

struct providers {
    struct provider *at;
    size_t count;
};

/* Copies what is needed. False: no memory. */
bool providers_make(const struct conf *conf, struct providers *out) MUST_CHECK;
void providers_free(struct providers *providers);
/* Of an upstream's name; NULL: none that we know. */
const struct provider *provider_of(const struct providers *providers, struct str upstream);

/* gen_ai.operation.name of an endpoint's name (NULL: "unknown"). */
const char *call_operation(const char *endpoint);
/* error.type of a call that failed, else NULL. A status is written into text. */
const char *call_error(const struct call_event *event, char text[8]);

#endif
