/*
 * `turnpike models`: what routes.conf says of its models, and what each channel that serves one
 * makes of its list prices. A price in credits is list price times multiplier, both integers of
 * millionths, so it is exact with at most twelve decimals.
 */
#include "cli/models.h"

#include <stdio.h>
#include <unistd.h>

#include "base/jw.h"
#include "base/str.h"
#include "cli/decimal.h"
#include "cli/help.h"
#include "cli/print.h"
#include "conf/conf.h"

#define DOCUMENT_BYTES_MAX (256u << 20)
#define NO_CHANNEL (-1)

static bool
channel_serves(const struct conf *conf, const struct conf_channel *channel,
               const struct conf_model *model)
{
    for (size_t i = 0; i < channel->use_count; i++)
        if (conf_upstream_serves(&conf->upstreams[channel->uses[i].upstream_idx], model))
            return true;
    return false;
}

static const char *
list_text(int64_t list_u, char *out)
{
    return decimal_text((unsigned __int128)(uint64_t)list_u, 6, out);
}

static const char *
credits_text(int64_t list_u, int64_t multiplier_u, char *out)
{
    return decimal_text((unsigned __int128)(uint64_t)list_u * (uint64_t)multiplier_u, 12, out);
}

/* Is the model one of those asked for? */
static bool
is_asked(const struct conf *conf, const struct models_show *show, int channel_idx,
         const struct conf_model *model)
{
    if (show->family != NULL && !str_eq(model->family, str_from(show->family)))
        return false;
    return channel_idx == NO_CHANNEL || channel_serves(conf, &conf->channels[channel_idx], model);
}

/* ---- JSON --------------------------------------------------------------------------------------
 */

/* "cache-write" as JSON names it. */
static const char *
json_name(const char *name, char out[64])
{
    size_t len = str_copy(str_from(name), out, 64);

    for (size_t i = 0; i < len; i++)
        if (out[i] == '-')
            out[i] = '_';
    return out;
}

static void
count_write(struct jw *jw, const char *name, uint64_t n)
{
    if (n > 0) {
        jw_key_u64(jw, name, n);
        return;
    }
    jw_key(jw, name);
    jw_null(jw);
}

static void
text_write(struct jw *jw, const char *name, struct str s)
{
    if (s.ptr != NULL) {
        jw_key_str(jw, name, s);
        return;
    }
    jw_key(jw, name);
    jw_null(jw);
}

/* The list prices, or with a multiplier those in credits. */
static void
rates_write(struct jw *jw, const struct conf_rates *rates, const int64_t *multiplier_u)
{
    char name[64], text[DECIMAL_TEXT_LEN];

    jw_object(jw);
    for (int class = 0; class < CONF_CLASS_COUNT; class ++) {
        int64_t list_u = rates->u_per_mtok[class];

        jw_key_cstr(jw, json_name(conf_class_name[class], name),
                    multiplier_u == NULL ? list_text(list_u, text)
                                         : credits_text(list_u, *multiplier_u, text));
    }
    jw_object_end(jw);
}

static void
tiers_write(struct jw *jw, const struct conf_model *model, const int64_t *multiplier_u)
{
    jw_key(jw, "tiers");
    jw_array(jw);
    for (size_t i = 0; i < model->tier_count; i++) {
        const struct conf_tier *tier = &model->tiers[i];

        jw_object(jw);
        jw_key_str(jw, "name", tier->title);
        jw_key_u64(jw, "above", tier->above_tokens);
        jw_key_bool(jw, "inclusive", tier->inclusive);
        jw_key(jw, multiplier_u == NULL ? "list" : "credits");
        rates_write(jw, &tier->rates, multiplier_u);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
channels_write(struct jw *jw, const struct conf *conf, const struct conf_model *model,
               int only_channel_idx)
{
    char text[DECIMAL_TEXT_LEN];

    jw_key(jw, "channels");
    jw_array(jw);
    for (size_t i = 0; i < conf->channel_count; i++) {
        const struct conf_channel *channel = &conf->channels[i];
        const int64_t *multiplier_u = &channel->multiplier_u[model->currency];

        if ((only_channel_idx != NO_CHANNEL && (size_t)only_channel_idx != i) ||
            !channel_serves(conf, channel, model))
            continue;
        jw_object(jw);
        jw_key_str(jw, "name", channel->name);
        jw_key_str(jw, "title", channel->title);
        text_write(jw, "source", channel->source);
        jw_key_cstr(jw, "multiplier", list_text(*multiplier_u, text));
        jw_key(jw, "credits");
        rates_write(jw, &model->rates, multiplier_u);
        tiers_write(jw, model, multiplier_u);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
model_write(struct jw *jw, const struct conf *conf, const struct conf_model *model,
            int only_channel_idx)
{
    jw_object(jw);
    jw_key_str(jw, "name", model->name);
    jw_key_str(jw, "family", model->family);
    count_write(jw, "context", model->context_tokens);
    count_write(jw, "max_output", model->output_tokens_max);
    jw_key(jw, "can");
    jw_array(jw);
    for (int i = 0; i < CONF_CAN_COUNT; i++)
        if (model->can & 1u << i)
            jw_cstr(jw, conf_can_name[i]);
    jw_array_end(jw);
    jw_key_u64(jw, "quality", model->quality);
    jw_key(jw, "aliases");
    jw_array(jw);
    for (size_t i = 0; i < model->aliases.count; i++)
        jw_str(jw, model->aliases.at[i]);
    jw_array_end(jw);
    text_write(jw, "source", model->source);
    text_write(jw, "date", model->date);
    jw_key_cstr(jw, "currency", conf_currency_name[model->currency]);
    jw_key(jw, "list");
    rates_write(jw, &model->rates, NULL);
    tiers_write(jw, model, NULL);
    channels_write(jw, conf, model, only_channel_idx);
    jw_object_end(jw);
}

/* ---- text: a row a model, and one for each of its tiers ----------------------------------------
 */

static void
price_cell(struct jw *jw, const char *name, int64_t list_u)
{
    char text[DECIMAL_TEXT_LEN];

    jw_key_cstr(jw, name, list_text(list_u, text));
}

/* "value 0.75/6 smart 1.25/10"; of one channel that was asked for only the prices. */
static void
credits_cell(struct jw *jw, const struct conf *conf, const struct conf_model *model,
             const struct conf_rates *rates, int only_channel_idx)
{
    char in[DECIMAL_TEXT_LEN], out[DECIMAL_TEXT_LEN];
    struct buf cell;

    buf_init(&cell, 65536);
    for (size_t i = 0; i < conf->channel_count; i++) {
        const struct conf_channel *channel = &conf->channels[i];
        int64_t multiplier_u = channel->multiplier_u[model->currency];

        if ((only_channel_idx != NO_CHANNEL && (size_t)only_channel_idx != i) ||
            !channel_serves(conf, channel, model))
            continue;
        if (cell.len > 0)
            buf_add_char(&cell, ' ');
        if (only_channel_idx == NO_CHANNEL)
            buf_add_fmt(&cell, "%.*s ", STR_ARGS(channel->name));
        buf_add_fmt(&cell, "%s/%s", credits_text(rates->u_per_mtok[CONF_INPUT], multiplier_u, in),
                    credits_text(rates->u_per_mtok[CONF_OUTPUT], multiplier_u, out));
    }
    jw_key_str(jw, "credits", cell.len > 0 ? buf_str(&cell) : STR("-"));
    buf_free(&cell);
}

static void
prices_cells(struct jw *jw, const struct conf *conf, const struct conf_model *model,
             const struct conf_rates *rates, int only_channel_idx)
{
    price_cell(jw, "in", rates->u_per_mtok[CONF_INPUT]);
    price_cell(jw, "out", rates->u_per_mtok[CONF_OUTPUT]);
    price_cell(jw, "read", rates->u_per_mtok[CONF_CACHE_READ]);
    price_cell(jw, "write", rates->u_per_mtok[CONF_CACHE_WRITE_5M]);
    credits_cell(jw, conf, model, rates, only_channel_idx);
}

static void
model_rows(struct jw *jw, const struct conf *conf, const struct conf_model *model,
           int only_channel_idx)
{
    jw_object(jw);
    jw_key_str(jw, "name", model->name);
    jw_key_str(jw, "family", model->family);
    count_write(jw, "context", model->context_tokens);
    count_write(jw, "max", model->output_tokens_max);
    jw_key(jw, "can");
    jw_array(jw);
    for (int i = 0; i < CONF_CAN_COUNT; i++)
        if (model->can & 1u << i)
            jw_cstr(jw, conf_can_name[i]);
    jw_array_end(jw);
    jw_key_cstr(jw, "currency", conf_currency_name[model->currency]);
    prices_cells(jw, conf, model, &model->rates, only_channel_idx);
    jw_object_end(jw);
    for (size_t i = 0; i < model->tier_count; i++) {
        const struct conf_tier *tier = &model->tiers[i];
        char name[64];

        snprintf(name, sizeof(name), "  context %s %llu", tier->inclusive ? "from" : "above",
                 (unsigned long long)tier->above_tokens);
        jw_object(jw);
        jw_key_cstr(jw, "name", name);
        for (const char *const *blank =
                 (const char *const[]){"family", "context", "max", "can", "currency", NULL};
             *blank != NULL; blank++)
            jw_key_cstr(jw, *blank, "");
        prices_cells(jw, conf, model, &tier->rates, only_channel_idx);
        jw_object_end(jw);
    }
}

static void
rows_print(struct js_value rows)
{
    static const struct print_column columns[] = {
        {"name", "MODEL", false},
        {"family", "FAMILY", false},
        {"context", "CONTEXT", true},
        {"max", "MAX OUTPUT", true},
        {"can", "CAN", false},
        {"currency", "LIST", false},
        {"in", "INPUT", true},
        {"out", "OUTPUT", true},
        {"read", "CACHE READ", true},
        {"write", "CACHE WRITE", true},
        {"credits", "CREDITS INPUT/OUTPUT", false},
        {NULL, NULL, false},
    };

    print_table(rows, columns, "no models");
}

/* ---- the command -------------------------------------------------------------------------------
 */

static enum cli_exit
no_conf(struct conf_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++)
        if (!faults->at[i].warning)
            fprintf(stderr, "%s:%u: %s\n", faults->at[i].file, faults->at[i].line,
                    faults->at[i].message);
    return CLI_BAD_CONF;
}

static enum cli_exit
show_conf(const struct conf *conf, const struct models_show *show, int channel_idx)
{
    enum cli_exit rc = CLI_DONE;
    struct js_value value;
    struct js_error err;
    struct buf text;
    struct jw jw;

    buf_init(&text, DOCUMENT_BYTES_MAX);
    jw_init(&jw, &text);
    if (show->json) {
        jw_object(&jw);
        jw_key(&jw, "models");
    }
    jw_array(&jw);
    for (size_t i = 0; i < conf->model_count; i++) {
        const struct conf_model *model = &conf->models[i];

        if (!is_asked(conf, show, channel_idx, model))
            continue;
        if (show->json)
            model_write(&jw, conf, model, channel_idx);
        else
            model_rows(&jw, conf, model, channel_idx);
    }
    jw_array_end(&jw);
    if (show->json)
        jw_object_end(&jw);
    if (text.failed || !js_check(buf_str(&text), &value, &err))
        rc = complain(CLI_FAILED, "models", "there are too many of them", NULL);
    else if (show->json)
        printf("%.*s\n", STR_ARGS(buf_str(&text)));
    else
        rows_print(value);
    buf_free(&text);
    if (rc == CLI_DONE && fflush(stdout) != 0)
        return complain(CLI_FAILED, "models", "they cannot be written", NULL);
    return rc;
}

enum cli_exit
models_show(const struct models_show *show)
{
    const char *path = show->conf_path;
    int channel_idx = NO_CHANNEL;
    struct conf_faults faults;
    struct conf *conf;
    enum cli_exit rc;

    if (path == NULL)
        path = access("routes.conf", F_OK) == 0 ? "routes.conf" : "/etc/turnpike/routes.conf";
    conf = conf_load(path, &faults);
    if (conf == NULL) {
        rc = no_conf(&faults);
    } else if (show->channel != NULL &&
               (channel_idx = conf_channel_index(conf, str_from(show->channel))) == CONF_NONE) {
        rc = complain(CLI_FAILED, show->channel, "there is no such channel",
                      "turnpike models shows all");
    } else {
        rc = show_conf(conf, show, channel_idx);
    }
    conf_faults_free(&faults);
    conf_free(&conf);
    return rc;
}
