#include "conf/build.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "conf/url.h"
#include "conf/value.h"

/* ---- a section by its rows ----------------------------------------------------------------- */

static void
number_store(const struct conf_key *key, void *draft, uint64_t number)
{
    char *field = (char *)draft + key->field_off;

    switch (key->field_bytes) {
    case 1: *(uint8_t *)field = (uint8_t)number; break;
    case 2: *(uint16_t *)(void *)field = (uint16_t)number; break;
    case 4: *(uint32_t *)(void *)field = (uint32_t)number; break;
    case 8: *(uint64_t *)(void *)field = number; break;
    default: ASSERT(!"a width of number");
    }
}

static void
fill_strings(struct load *load, const struct raw_option *option, const struct conf_key *key,
             struct conf_strs *out)
{
    struct str *at = load_alloc(load, MAX(option->value_count, (size_t)1) * sizeof(*at));
    struct value_why why;
    size_t count = 0;

    if (at == NULL)
        return;
    for (const struct raw_value *value = option->values; value != NULL; value = value->next) {
        if (!value_string(key, value->text, &why))
            load_fault(load, value->at, "%s: %s", key->name, why.text);
        at[count++] = value->text;
    }
    *out = (struct conf_strs){at, count};
}

static void
fill_bits(struct load *load, const struct raw_option *option, const struct conf_key *key,
          void *draft)
{
    uint64_t bits = 0, bit;
    struct value_why why;

    for (const struct raw_value *value = option->values; value != NULL; value = value->next)
        if (value_number(key, value->text, &bit, &why))
            bits |= 1u << bit;
        else
            load_fault(load, value->at, "%s: %s", key->name, why.text);
    number_store(key, draft, bits);
}

static void
fill_given(struct load *load, const struct raw_option *option, void *draft)
{
    const struct conf_key *key = option->key;
    struct value_why why;
    uint64_t number;

    if (key->type == CONF_T_STRINGS) {
        fill_strings(load, option, key, (void *)((char *)draft + key->field_off));
        return;
    }
    if (key->type == CONF_T_BITS) {
        fill_bits(load, option, key, draft);
        return;
    }
    if (option->value_count != 1) {
        load_fault(load, option->at, "%s: takes one value, not a list", key->name);
        return;
    }
    if (key->type == CONF_T_STRING) {
        *(struct str *)(void *)((char *)draft + key->field_off) = option->values->text;
        if (!value_string(key, option->values->text, &why))
            load_fault(load, option->at, "%s: %s", key->name, why.text);
        return;
    }
    if (value_number(key, option->values->text, &number, &why))
        number_store(key, draft, number);
    else
        load_fault(load, option->at, "%s: %s", key->name, why.text);
}

/* Defaults are written as in a file, and are never wrong: a test reads an empty section. */
static void
fill_default(struct load *load, const struct conf_key *key, void *draft)
{
    struct str text = str_from(key->def);
    struct value_why why;
    uint64_t number = 0;
    struct str *one;

    if (key->type == CONF_T_STRING) {
        *(struct str *)(void *)((char *)draft + key->field_off) = text;
        return;
    }
    if (key->type == CONF_T_STRINGS) {
        one = load_alloc(load, sizeof(*one));
        if (one == NULL)
            return;
        *one = text;
        *(struct conf_strs *)(void *)((char *)draft + key->field_off) = (struct conf_strs){one, 1};
        return;
    }
    if (!value_number(key, text, &number, &why))
        ASSERT(!"a default in the bounds of its row");
    number_store(key, draft, number);
}

void
build_fill(struct load *load, const struct raw_section *section, void *draft)
{
    const struct conf_section *kind = &conf_sections[section->kind];

    for (size_t i = 0; i < kind->key_count; i++) {
        const struct conf_key *key = &kind->keys[i];
        const struct raw_option *option = raw_option(section, key->name);

        if (key->type == CONF_T_PRICE || key->type == CONF_T_EACH)
            number_store(key, draft, (uint64_t)CONF_PRICE_ABSENT);
        if (option != NULL)
            fill_given(load, option, draft);
        else if (key->def != NULL)
            fill_default(load, key, draft);
        else if (key->required && !section->damaged)
            load_fault(load, section->at, "%s: %s is not stated%s", section_label(section),
                       key->name, key->type == CONF_T_PRICE ? "; 0 is free" : "");
    }
}

/* ---- upstreams ----------------------------------------------------------------------------- */

struct str
path_from(struct load *load, struct place at, struct str path)
{
    struct str from = str_from(load->files[at.file_idx]);
    const char *slash = strrchr(from.ptr, '/');
    size_t dir_len = slash == NULL || path.ptr[0] == '/' ? 0 : (size_t)(slash - from.ptr) + 1;
    char *joined = load_alloc(load, dir_len + path.len + 1);

    if (joined == NULL)
        return STR_NONE;
    memcpy(joined, from.ptr, dir_len);
    memcpy(joined + dir_len, path.ptr, path.len);
    return (struct str){joined, dir_len + path.len};
}

static void
upstream_url_keep(struct load *load, const struct url *url, struct conf_upstream *out)
{
    char text[URL_HOST_LEN_MAX + 16];
    char *host = load_alloc(load, url->host.len + 1);
    bool own_port = url->port == (url->tls ? 443 : 80);
    int len;

    if (host == NULL)
        return;
    for (size_t i = 0; i < url->host.len; i++)
        host[i] = url->host.ptr[i] >= 'A' && url->host.ptr[i] <= 'Z'
                      ? (char)(url->host.ptr[i] | 0x20)
                      : url->host.ptr[i];
    out->tls = url->tls;
    out->port = url->port;
    out->host = (struct str){host, url->host.len};
    out->base_path = load_copy(load, url->path);
    len = snprintf(text, sizeof(text), url->ipv6 ? "[%s]" : "%s", host);
    if (!own_port)
        len += snprintf(text + len, sizeof(text) - (size_t)len, ":%u", (unsigned)url->port);
    out->authority = load_copy(load, (struct str){text, (size_t)len});
}

static void
upstream_url(struct load *load, const struct raw_section *section, struct conf_upstream *out)
{
    struct place at = raw_place(section, "url");
    struct value_why why;
    struct url url;

    if (out->url.len == 0)
        return; /* said already */
    if (!url_parse(out->url, &url, &why)) {
        load_fault(load, at, "url: %s", why.text);
        return;
    }
    if (!out->local && url_host_is_local(&url))
        load_fault(load, at,
                   "url: %.*s is not a public address; set local = true to allow it",
                   STR_ARGS(url.host));
    else if (!out->local && !url.tls)
        load_fault(load, at,
                   "url: keys and prompts would go unencrypted; write https://, or set "
                   "local = true");
    upstream_url_keep(load, &url, out);
}

struct str
build_ca_file(struct load *load, const struct raw_section *section, struct str stated)
{
    struct place at = raw_place(section, "ca-file");
    struct str path;
    int fd;

    if (stated.len == 0)
        return STR_NONE;
    path = path_from(load, at, stated);
    if (load->from_text || path.ptr == NULL)
        return path;
    fd = open(path.ptr, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        load_fault(load, at, "ca-file: cannot read %s: %m", path.ptr);
    else
        close(fd);
    return path;
}

static void
build_upstream(struct load *load, struct raw_section *section, void *slot)
{
    struct draft_upstream draft = {0};
    struct conf_upstream *out = slot;

    build_fill(load, section, &draft);
    *out = draft.out;
    out->name = section->title;
    upstream_url(load, section, out);
    build_credentials(load, section, &draft, out);
    out->ca_file = build_ca_file(load, section, draft.ca_file);
    if (out->ca_file.ptr != NULL && !load->from_text && !out->tls)
        load_warning(load, raw_place(section, "ca-file"),
                     "ca-file: has no effect, the URL is not https://");
}

/* ---- channels, autos, limits --------------------------------------------------------------- */

/* Which upstreams they are, and their weights, is resolved by check_conf(). */
static void
build_channel(struct load *load, struct raw_section *section, void *slot)
{
    struct draft_channel draft = {0};
    struct conf_channel *out = slot;

    build_fill(load, section, &draft);
    *out = draft.out;
    out->name = section->title;
    if (out->title.ptr == NULL)
        out->title = out->name;
}

static void
build_auto(struct load *load, struct raw_section *section, void *slot)
{
    struct conf_auto *out = slot;

    build_fill(load, section, out);
    out->name = section->title;
    if (out->latency_u == 0 && out->cost_u == 0 && out->quality_u == 0)
        load_fault(load, section->at, "%s: latency, cost and quality are all 0",
                   section_label(section));
}

/* What a worker's bodies and buffers may come to when the file does not say. */
#define MEMORY_BYTES (UINT64_C(1) << 30)

static void
build_limits(struct load *load, struct raw_section *section, void *slot)
{
    struct conf_limits *out = slot;
    size_t faults = load->faults->fault_count;

    build_fill(load, section, out);
    if (load->faults->fault_count != faults)
        return;
    if (out->header_bytes > out->headers_bytes)
        load_fault(load, raw_place(section, "header"), "header: is more than headers");
    if (out->memory_bytes == 0)
        out->memory_bytes = MAX(MEMORY_BYTES, 4 * out->body_bytes);
    if (out->memory_bytes < 2 * out->body_bytes)
        load_fault(load, raw_place(section, "memory"),
                   "memory: is less than twice body; no request as large as that could be read");
}

/* ---- all of them --------------------------------------------------------------------------- */

typedef void (*build_fn)(struct load *load, struct raw_section *section, void *slot);

struct plan {
    enum conf_section_kind kind;
    build_fn build;
    size_t bytes;
    size_t count_max;
    size_t name_len_max;
    const char *name_also; /* bytes a name may have besides the usual */
};

static const struct plan plans[] = {
    {CONF_S_UPSTREAM, build_upstream, sizeof(struct conf_upstream), CONF_UPSTREAM_COUNT_MAX,
     CONF_NAME_LEN_MAX, ""},
    {CONF_S_MODEL, build_model, sizeof(struct conf_model), CONF_MODEL_COUNT_MAX,
     CONF_MODEL_NAME_LEN_MAX, MODEL_NAME_ALSO},
    {CONF_S_CHANNEL, build_channel, sizeof(struct conf_channel), CONF_CHANNEL_COUNT_MAX,
     CONF_NAME_LEN_MAX, ""},
    {CONF_S_AUTO, build_auto, sizeof(struct conf_auto), CONF_AUTO_COUNT_MAX,
     CONF_MODEL_NAME_LEN_MAX, MODEL_NAME_ALSO},
    {CONF_S_RULE, build_rule, sizeof(struct conf_rule), CONF_RULE_COUNT_MAX, CONF_NAME_LEN_MAX, ""},
    {CONF_S_OIDC, build_oidc, sizeof(struct conf_oidc), CONF_OIDC_COUNT_MAX, CONF_NAME_LEN_MAX, ""},
};

static size_t
kind_count(const struct load *load, enum conf_section_kind kind)
{
    size_t count = 0;

    for (const struct raw_section *s = load->sections; s != NULL; s = s->next)
        count += s->kind == kind;
    return count;
}

#define NOT_BUILT SIZE_MAX /* index of a section beyond count_max */

static void
build_one(struct load *load, const struct plan *plan, struct raw_section *section, void *slot)
{
    struct value_why why;

    if (!value_name(section->title, plan->name_len_max, plan->name_also, &why))
        load_fault(load, section->at, "%s: %s", section_label(section), why.text);
    plan->build(load, section, slot);
}

/* Builds all of a kind in file order. */
static void *
build_kind(struct load *load, const struct plan *plan, size_t *count)
{
    size_t all = kind_count(load, plan->kind), index = 0;
    char *slots = load_alloc(load, MIN(all, plan->count_max) * plan->bytes);

    *count = 0;
    for (struct raw_section *s = load->sections; s != NULL && slots != NULL; s = s->next) {
        if (s->kind != plan->kind)
            continue;
        if (index == plan->count_max)
            load_fault(load, s->at, "too many %s sections: at most %zu",
                       conf_sections[s->kind].name, plan->count_max);
        s->index = index < plan->count_max ? index : NOT_BUILT;
        index++;
        if (s->index != NOT_BUILT)
            build_one(load, plan, s, slots + s->index * plan->bytes);
    }
    *count = MIN(index, plan->count_max);
    return slots;
}

static const struct raw_section *
section_of(const struct load *load, enum conf_section_kind kind, size_t index)
{
    for (const struct raw_section *s = load->sections; s != NULL; s = s->next)
        if (s->kind == kind && s->index == index)
            return s;
    ASSERT(!"a section that was built");
    return NULL;
}

/* Puts a section's title; a title that is taken is a fault. */
static void
map_title(struct load *load, struct conf_map *map, const struct raw_section *section)
{
    int taken = map_put(map, section->title, (uint16_t)section->index);

    if (taken != CONF_NONE)
        load_fault(
            load, section->at, "%s is there twice; first in %s", section_label(section),
            place_text(load, section->at, section_of(load, section->kind, (size_t)taken)->at));
}

static void
map_alias(struct load *load, const struct raw_section *section, const struct raw_value *value)
{
    struct conf_map *map = &load->conf->memory->models;
    int taken = map_put(map, value->text, (uint16_t)section->index);

    if (taken == (int)section->index)
        load_fault(load, value->at, "alias: %s has the name \"%.*s\" already",
                   section_label(section), STR_ARGS(value->text));
    else if (taken != CONF_NONE)
        load_fault(load, value->at, "alias: \"%.*s\" is a name of %s already",
                   STR_ARGS(value->text),
                   section_label(section_of(load, CONF_S_MODEL, (size_t)taken)));
}

/* All titles first, so that an alias that is also a model's name is the alias's fault. */
static void
build_maps(struct load *load)
{
    struct conf *conf = load->conf;
    struct conf_memory *memory = conf->memory;
    size_t model_names = conf->model_count;
    struct conf_map *maps[CONF_SECTION_COUNT] = {
        [CONF_S_UPSTREAM] = &memory->upstreams,
        [CONF_S_MODEL] = &memory->models,
        [CONF_S_CHANNEL] = &memory->channels,
        [CONF_S_AUTO] = &memory->autos,
    };

    for (size_t i = 0; i < conf->model_count; i++)
        model_names += conf->models[i].aliases.count;
    if (!map_make(load, &memory->upstreams, conf->upstream_count) ||
        !map_make(load, &memory->models, model_names) ||
        !map_make(load, &memory->channels, conf->channel_count) ||
        !map_make(load, &memory->autos, conf->auto_count))
        return;
    for (const struct raw_section *s = load->sections; s != NULL; s = s->next)
        if (maps[s->kind] != NULL && s->index != NOT_BUILT)
            map_title(load, maps[s->kind], s);
    for (const struct raw_section *s = load->sections; s != NULL; s = s->next) {
        const struct raw_option *alias =
            s->kind == CONF_S_MODEL && s->index != NOT_BUILT ? raw_option(s, "alias") : NULL;

        for (const struct raw_value *v = alias != NULL ? alias->values : NULL; v != NULL;
             v = v->next)
            map_alias(load, s, v);
        if (s->kind == CONF_S_AUTO && map_get(&memory->models, s->title) != CONF_NONE)
            load_fault(load, s->at, "%s: a model has that name", section_label(s));
    }
}

struct raw_section *
section_once(struct load *load, enum conf_section_kind kind)
{
    struct raw_section *first = NULL;

    for (struct raw_section *s = load->sections; s != NULL; s = s->next) {
        if (s->kind != kind)
            continue;
        if (first != NULL)
            load_fault(load, s->at, "%s is there twice; first in %s", conf_sections[kind].name,
                       place_text(load, s->at, first->at));
        else
            first = s;
    }
    return first;
}

static void
build_all_limits(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_LIMITS};
    struct raw_section *first = section_once(load, CONF_S_LIMITS);

    build_limits(load, first != NULL ? first : &none, &load->conf->limits);
}

static void
build_retention(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_RETENTION};
    struct raw_section *first = section_once(load, CONF_S_RETENTION);

    build_fill(load, first != NULL ? first : &none, &load->conf->retention);
}

void
build_conf(struct load *load)
{
    struct conf *conf = load->conf;

    conf->upstreams = build_kind(load, &plans[0], &conf->upstream_count);
    conf->models = build_kind(load, &plans[1], &conf->model_count);
    conf->channels = build_kind(load, &plans[2], &conf->channel_count);
    conf->autos = build_kind(load, &plans[3], &conf->auto_count);
    conf->rules = build_kind(load, &plans[4], &conf->rule_count);
    build_all_limits(load);
    build_metrics(load);
    build_log(load);
    build_telemetry(load);
    build_retention(load);
    build_manage(load);
    build_topup(load);
    build_mail(load);
    build_turnstile(load);
    build_webhooks(load);
    conf->oidcs = build_kind(load, &plans[5], &conf->oidc_count);
    if (!load->no_memory)
        build_maps(load);
}
