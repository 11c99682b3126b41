#include "telemetry/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* The conventions' well-known names, by the end of a host. Others are named by the protocol that they
 * speak, as the conventions want it of compatible ones. */
static const char *
provider_name(const struct conf_upstream *upstream)
{
    static const struct {
        const char *host, *name;
    } known[] = {
        {"openai.azure.com", "azure.ai.openai"},
        {"aiplatform.googleapis.com", "gcp.vertex_ai"},
        {"generativelanguage.googleapis.com", "gcp.gemini"},
        {"anthropic.com", "anthropic"},
        {"openai.com", "openai"},
        {"deepseek.com", "deepseek"},
        {"mistral.ai", "mistral_ai"},
        {"x.ai", "x_ai"},
        {"groq.com", "groq"},
        {"cohere.com", "cohere"},
        {"cohere.ai", "cohere"},
        {"perplexity.ai", "perplexity"},
        {"moonshot.ai", "moonshot_ai"},
        {"moonshot.cn", "moonshot_ai"},
    };

    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct str end = str_from(known[i].host);
        size_t more = upstream->host.len - MIN(end.len, upstream->host.len);

        if (str_ends_with(upstream->host, end) &&
            (more == 0 || upstream->host.ptr[more - 1] == '.'))
            return known[i].name;
    }
    if (upstream->protocols & CONF_PROTOCOL_BIT(CONF_ANTHROPIC))
        return "anthropic";
    if (upstream->protocols & CONF_PROTOCOL_BIT(CONF_GEMINI))
        return "gcp.gemini";
    return "openai";
}

bool
providers_make(const struct conf *conf, struct providers *out)
{
    *out = (struct providers){.at = calloc(conf->upstream_count + 1, sizeof(*out->at))};
    if (out->at == NULL)
        return false;
    for (size_t i = 0; i < conf->upstream_count; i++) {
        const struct conf_upstream *upstream = &conf->upstreams[i];
        struct provider *p = &out->at[out->count++];

        str_copy(upstream->name, p->upstream, sizeof(p->upstream));
        p->name = provider_name(upstream);
        p->port = upstream->port;
        str_copy(upstream->host, p->host, sizeof(p->host));
    }
    return true;
}

void
providers_free(struct providers *providers)
{
    free(providers->at);
    *providers = (struct providers){0};
}

const struct provider *
provider_of(const struct providers *providers, struct str upstream)
{
    for (size_t i = 0; i < providers->count; i++)
        if (str_eq(str_from(providers->at[i].upstream), upstream))
            return &providers->at[i];
    return NULL;
}

const char *
call_operation(const char *endpoint)
{
    static const struct {
        const char *endpoint, *operation;
    } table[] = {
        {"chat", "chat"},
        {"responses", "chat"},
        {"messages", "chat"},
        {"realtime", "chat"},
        {"generate", "generate_content"},
        {"completions", "text_completion"},
        {"embeddings", "embeddings"},
        {"gemini_embed", "embeddings"},
    };

    if (endpoint == NULL)
        return "unknown";
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(endpoint, table[i].endpoint) == 0)
            return table[i].operation;
    return endpoint; /* of its own, as the conventions allow */
}

const char *
call_error(const struct call_event *event, char text[8])
{
    if (!call_event_failed(event))
        return NULL;
    if (event->status >= 400) {
        snprintf(text, 8, "%u", event->status);
        return text;
    }
    return event->outcome < OUTCOME_COUNT ? record_outcome_name[event->outcome] : "_OTHER";
}
