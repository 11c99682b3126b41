#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "conf/build.h"
#include "conf/load.h"

/* A file of the largest size, all of it sections, with room to spare. */
#define MEMORY_BYTES_MAX ((size_t)512 << 20)
#define PRICES_BYTES_MAX ((size_t)64 << 20)

struct conf *
conf_new(void)
{
    struct conf *conf = calloc(1, sizeof(*conf));

    if (conf == NULL)
        return NULL;
    conf->memory = calloc(1, sizeof(*conf->memory));
    if (conf->memory == NULL) {
        free(conf);
        return NULL;
    }
    arena_init(&conf->memory->arena, MEMORY_BYTES_MAX);
    return conf;
}

static void
wipe(struct str *secret)
{
    if (secret->len > 0)
        explicit_bzero((void *)(uintptr_t)secret->ptr, secret->len);
    *secret = STR_NONE;
}

void
conf_forget_outside(struct conf *conf)
{
    conf->mail.on = conf->turnstile.on = false;
    wipe(&conf->mail.password);
    wipe(&conf->turnstile.secret);
    for (size_t i = 0; i < conf->oidc_count; i++) {
        struct conf_oidc *oidc = (struct conf_oidc *)(uintptr_t)&conf->oidcs[i];

        oidc->on = false;
        wipe(&oidc->secret);
    }
}

void
conf_free(struct conf **conf)
{
    struct conf *ended = *conf;

    if (ended == NULL)
        return;
    *conf = NULL;
    for (size_t i = 0; i < ended->upstream_count; i++)
        for (size_t k = 0; k < ended->upstreams[i].credential_count; k++) {
            struct str secret = ended->upstreams[i].credentials[k].secret;

            if (secret.len > 0)
                explicit_bzero((void *)(uintptr_t)secret.ptr, secret.len);
        }
    conf_forget_outside(ended);
    arena_end(&ended->memory->arena);
    free(ended->memory);
    free(ended);
}

/* ---- loading ------------------------------------------------------------------------------- */

static size_t
file_rank(const struct load *load, const struct conf_fault *fault)
{
    size_t rank = 0;

    while (rank < load->file_count && strcmp(load->files[rank], fault->file) != 0)
        rank++;
    return rank;
}

static bool
comes_before(const struct load *load, const struct conf_fault *a, const struct conf_fault *b)
{
    size_t a_rank = file_rank(load, a), b_rank = file_rank(load, b);

    return a_rank != b_rank ? a_rank < b_rank : a->line < b->line;
}

/* By file and line; what was said of one line stays in the order it was said in. */
static void
faults_sort(const struct load *load)
{
    struct conf_fault *at = load->faults->at;

    for (size_t i = 1; i < load->faults->count; i++) {
        struct conf_fault moved = at[i];
        size_t to = i;

        for (; to > 0 && comes_before(load, &moved, &at[to - 1]); to--)
            at[to] = at[to - 1];
        at[to] = moved;
    }
}

/* 64 bits of a hash of the tables: 0 is kept for "none". */
static void
price_version_set(struct load *load)
{
    uint8_t hash[HASH_LEN];
    struct buf json;
    uint64_t version = 0;

    buf_init(&json, PRICES_BYTES_MAX);
    conf_prices_json(load->conf, &json);
    load->no_memory |= json.failed;
    hash_keyed(NULL, json.ptr, json.len, hash);
    for (size_t i = 0; i < sizeof(version); i++)
        version = version << 8 | hash[i];
    load->conf->price_version = version != 0 ? version : 1;
    buf_free(&json);
}

static struct conf *
load_end(struct load *load)
{
    if (!load->no_memory)
        build_conf(load);
    if (!load->no_memory && !load->bad_syntax)
        check_conf(load);
    if (!load->no_memory && load->faults->fault_count == 0)
        price_version_set(load);
    if (load->no_memory)
        load_fault(load, (struct place){0, 1}, "out of memory");
    faults_sort(load);
    if (load->faults->fault_count > 0)
        conf_free(&load->conf);
    return load->conf;
}

static bool
load_begin(struct load *load, struct conf_faults *faults)
{
    *faults = (struct conf_faults){0};
    *load = (struct load){.conf = conf_new(), .faults = faults};
    if (load->conf == NULL)
        faults->fault_count = 1; /* no memory even to say so */
    return load->conf != NULL;
}

struct conf *
conf_reload(const char *path, const struct conf *running, struct conf_faults *faults)
{
    struct load load;

    if (!load_begin(&load, faults))
        return NULL;
    load.running = running;
    read_file(&load, path);
    return load_end(&load);
}

struct conf *
conf_reload_as(const char *path, struct str text, const struct conf *running,
               struct conf_faults *faults)
{
    struct load load;

    if (!load_begin(&load, faults))
        return NULL;
    load.running = running;
    read_text(&load, path, text);
    return load_end(&load);
}

struct conf *
conf_load(const char *path, struct conf_faults *faults)
{
    return conf_reload(path, NULL, faults);
}

struct conf *
conf_load_text(struct str text, const char *name, struct conf_faults *faults)
{
    struct load load;

    if (!load_begin(&load, faults))
        return NULL;
    load.from_text = true;
    read_text(&load, name, text);
    return load_end(&load);
}

/* ---- looking up ---------------------------------------------------------------------------- */

int
conf_model_index(const struct conf *conf, struct str name)
{
    return map_get(&conf->memory->models, name);
}

int
conf_auto_index(const struct conf *conf, struct str name)
{
    return map_get(&conf->memory->autos, name);
}

int
conf_channel_index(const struct conf *conf, struct str name)
{
    return map_get(&conf->memory->channels, name);
}

int
conf_upstream_index(const struct conf *conf, struct str name)
{
    return map_get(&conf->memory->upstreams, name);
}

struct str
conf_channel_meant(const struct conf *conf, struct str name)
{
    struct nearest nearest = {STR_NONE, 0};

    for (size_t i = 0; i < conf->channel_count; i++)
        nearest_try(&nearest, name, conf->channels[i].name);
    return nearest.best;
}

bool
conf_upstream_serves(const struct conf_upstream *upstream, const struct conf_model *model)
{
    for (size_t i = 0; i < upstream->models.count; i++)
        if (str_glob(upstream->models.at[i], model->name))
            return true;
    return false;
}

struct str
conf_upstream_model_name(const struct conf_upstream *upstream, const struct conf_model *model)
{
    for (size_t i = 0; i < upstream->rename_count; i++)
        if (str_eq(upstream->renames[i].model, model->name))
            return upstream->renames[i].model_sent;
    return model->name;
}
