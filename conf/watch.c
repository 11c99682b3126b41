/* What is told of calls, and to whom: the sections log, metrics and telemetry. */
#include "conf/build.h"

#include <stdlib.h>

#include "base/str.h"
#include "conf/url.h"
#include "conf/value.h"

#define HEADERS_ENV "OTEL_EXPORTER_OTLP_HEADERS"

void
build_log(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_LOG};
    const struct raw_section *section = section_once(load, CONF_S_LOG);

    build_fill(load, section != NULL ? section : &none, &load->conf->log);
}

void
build_metrics(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_METRICS};
    const struct raw_section *section = section_once(load, CONF_S_METRICS);

    build_fill(load, section != NULL ? section : &none, &load->conf->metrics);
}

/* What the environment says where the file does not; STR_NONE when neither does. */
static struct str
env_else(struct load *load, struct str stated, const char *name)
{
    const char *value = load->from_text || stated.ptr != NULL ? NULL : getenv(name);

    return value != NULL && value[0] != '\0' ? load_copy(load, str_from(value)) : stated;
}

static void
telemetry_url(struct load *load, const struct raw_section *section, struct conf_telemetry *out)
{
    struct place at = raw_place(section, "otlp");
    struct value_why why;
    struct url url;

    out->otlp = env_else(load, out->otlp, "OTEL_EXPORTER_OTLP_ENDPOINT");
    if (out->otlp.ptr == NULL) {
        if (!load->from_text)
            load_fault(load, at, "telemetry: names no collector; add otlp = \"http://...\", or set "
                                 "OTEL_EXPORTER_OTLP_ENDPOINT");
        return;
    }
    if (!url_parse(out->otlp, &url, &why)) {
        load_fault(load, at, "otlp: %s", why.text);
        return;
    }
    while (out->otlp.len > 0 && out->otlp.ptr[out->otlp.len - 1] == '/')
        out->otlp.len--;
    out->otlp = load_copy(load, out->otlp);
    if (!url.tls && out->ca_file.ptr != NULL)
        load_warning(load, raw_place(section, "ca-file"),
                     "ca-file: has no effect, the URL is not https://");
}

/* Headers that were to be sent and cannot be: nothing is, since a collector would refuse it. */
static void
telemetry_headers(struct load *load, const struct raw_section *section,
                  const struct draft_secret *stated, struct conf_telemetry *out)
{
    struct draft_secret from = *stated;
    struct conf_credential secret = {0};
    unsigned sources = (from.key_env.ptr != NULL) + (from.key_file.ptr != NULL) +
                       (from.key_credential.ptr != NULL);

    if (sources > 1)
        load_fault(load, section->at, "telemetry: names more than one source of headers");
    if (load->from_text)
        return;
    if (sources == 0 && getenv(HEADERS_ENV) != NULL && getenv(HEADERS_ENV)[0] != '\0')
        from.key_env = STR(HEADERS_ENV);
    secret_load_headers(load, section, "telemetry", &from, &secret);
    out->headers = secret.secret;
    out->on = secret.disabled_reason == NULL;
}

void
build_telemetry(struct load *load)
{
    const struct raw_section *section = section_once(load, CONF_S_TELEMETRY);
    struct draft_telemetry draft = {0};
    struct conf_telemetry *out = &load->conf->telemetry;
    size_t faults = load->faults->fault_count;

    if (section == NULL)
        return;
    build_fill(load, section, &draft);
    if (load->faults->fault_count != faults)
        return;
    *out = draft.out;
    out->service = env_else(load, out->service, "OTEL_SERVICE_NAME");
    if (out->service.ptr == NULL)
        out->service = STR("turnpike");
    out->ca_file = build_ca_file(load, section, draft.ca_file);
    telemetry_url(load, section, out);
    telemetry_headers(load, section, &draft.from, out);
}

bool
conf_telemetry_same(const struct conf_telemetry *a, const struct conf_telemetry *b)
{
    return a->on == b->on && str_eq(a->otlp, b->otlp) && str_eq(a->headers, b->headers) &&
           str_eq(a->service, b->service) && str_eq(a->ca_file, b->ca_file) &&
           a->sample_u == b->sample_u && a->interval_ms == b->interval_ms &&
           a->metrics_ms == b->metrics_ms && a->timeout_ms == b->timeout_ms &&
           a->queue_count == b->queue_count;
}
