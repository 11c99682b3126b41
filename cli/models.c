/*
 * `turnpike models`: what routes.conf says of its models, and what each channel that serves one
 * makes of its list prices. Prices are shown by the same terms that calls are charged by, as exact
 * decimals: whole numbers, divided by a divisor of a power of ten.
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

/* Which prices of a model: numbers of tier, service and discount from 1, 0 is none. */
struct view {
    const struct conf_model *model;
    unsigned tier, service, discount;
    const int64_t *multiplier_u; /* NULL: list prices */
};

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
price_text(const struct view *view, enum conf_class class, char *out)
{
    const struct conf_terms *terms =
        conf_terms_at(view->model, view->tier, view->service, view->discount);
    unsigned __int128 n = (unsigned __int128)(uint64_t)terms->rate[class];
    bool each = class >= CONF_TOKEN_CLASS_COUNT && class != CONF_CHARACTERS;
    unsigned places = each ? 12 : 6; /* what is priced by the piece is kept by the million, too */
    uint64_t ten = 1;

    if (view->multiplier_u != NULL) {
        n *= (uint64_t)*view->multiplier_u;
        places += 6;
    }
    for (; ten % terms->den != 0; ten *= 10)
        places++;
    /* conf/ refuses prices whose sums would not fit: this is far below them. */
    return decimal_text(n * (ten / terms->den), places, out);
}

/* Of no tier, service or discount. */
static bool
is_plain(const struct view *view)
{
    return view->tier == 0 && view->service == 0 && view->discount == 0;
}

static const char *
batched_text(struct view view, char *out)
{
    view.service = CONF_SERVICE_BATCHED;
    return price_text(&view, CONF_REQUESTS, out);
}

/* Classes worth a line: those that every call has, and those that somebody states. */
static uint32_t
shown_classes(const struct conf_model *model)
{
    uint32_t shown = model->stated | CONF_CLASS_BIT(CONF_INPUT) | CONF_CLASS_BIT(CONF_OUTPUT) |
                     CONF_CLASS_BIT(CONF_CACHE_READ) | CONF_CLASS_BIT(CONF_CACHE_WRITE_5M) |
                     CONF_CLASS_BIT(CONF_CACHE_WRITE_1H);

    for (size_t i = 0; i < model->tier_count; i++)
        shown |= model->tiers[i].stated;
    for (int class = 0; class < CONF_CLASS_COUNT; class ++) {
        for (size_t i = 0; i < model->service_count; i++)
            if (model->services[i].change.rates.u_per_mtok[class] != CONF_PRICE_ABSENT)
                shown |= CONF_CLASS_BIT(class);
        for (size_t i = 0; i < model->discount_count; i++)
            if (model->discounts[i].change.rates.u_per_mtok[class] != CONF_PRICE_ABSENT)
                shown |= CONF_CLASS_BIT(class);
    }
    return shown;
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

/* ---- JSON ---------------------------------------------------------------------------------- */

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

static void
can_write(struct jw *jw, unsigned can)
{
    jw_key(jw, "can");
    jw_array(jw);
    for (int i = 0; i < CONF_CAN_COUNT; i++)
        if (can & 1u << i)
            jw_cstr(jw, conf_can_name[i]);
    jw_array_end(jw);
}

static void
prices_write(struct jw *jw, const struct view *view)
{
    uint32_t shown = shown_classes(view->model);
    char name[64], text[DECIMAL_TEXT_LEN];

    jw_key(jw, view->multiplier_u == NULL ? "list" : "credits");
    jw_object(jw);
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (shown & CONF_CLASS_BIT(class))
            jw_key_cstr(jw, json_name(conf_class_name[class], name),
                        price_text(view, (enum conf_class) class, text));
    if (is_plain(view) && view->model->batched_u != CONF_PRICE_ABSENT)
        jw_key_cstr(jw, json_name(CONF_KEY_BATCHED, name), batched_text(*view, text));
    jw_object_end(jw);
}

static const char *
clock_text(uint16_t minute, char out[16])
{
    snprintf(out, 16, "%02u:%02u", minute / 60u, minute % 60u);
    return out;
}

static void
tiers_write(struct jw *jw, struct view view)
{
    jw_key(jw, "tiers");
    jw_array(jw);
    for (view.tier = 1; view.tier <= view.model->tier_count; view.tier++) {
        const struct conf_tier *tier = &view.model->tiers[view.tier - 1];

        jw_object(jw);
        jw_key_str(jw, "name", tier->title);
        jw_key_u64(jw, "above", tier->above_tokens);
        jw_key_bool(jw, "inclusive", tier->inclusive);
        prices_write(jw, &view);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
changes_write(struct jw *jw, struct view view)
{
    char text[16];

    jw_key(jw, "services");
    jw_array(jw);
    for (view.service = 1; view.service <= view.model->service_count; view.service++) {
        jw_object(jw);
        jw_key_str(jw, "name", view.model->services[view.service - 1].name);
        prices_write(jw, &view);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    view.service = 0;
    jw_key(jw, "discounts");
    jw_array(jw);
    for (view.discount = 1; view.discount <= view.model->discount_count; view.discount++) {
        const struct conf_discount *discount = &view.model->discounts[view.discount - 1];

        jw_object(jw);
        jw_key_str(jw, "name", discount->title);
        jw_key_cstr(jw, "from", clock_text(discount->hours.from_min, text));
        jw_key_cstr(jw, "to", clock_text(discount->hours.to_min, text));
        jw_key_str(jw, "zone", discount->zone_name);
        prices_write(jw, &view);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

/* The prices, and what they are in each tier, by each service and at each discount alone. */
static void
view_write(struct jw *jw, const struct view *view)
{
    prices_write(jw, view);
    tiers_write(jw, *view);
    changes_write(jw, *view);
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
        jw_key_cstr(jw, "multiplier",
                    decimal_text((unsigned __int128)(uint64_t)*multiplier_u, 6, text));
        view_write(jw, &(struct view){.model = model, .multiplier_u = multiplier_u});
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
    can_write(jw, model->can);
    jw_key_u64(jw, "quality", model->quality);
    jw_key(jw, "aliases");
    jw_array(jw);
    for (size_t i = 0; i < model->aliases.count; i++)
        jw_str(jw, model->aliases.at[i]);
    jw_array_end(jw);
    text_write(jw, "source", model->source);
    text_write(jw, "date", model->date);
    jw_key_cstr(jw, "currency", conf_currency_name[model->currency]);
    view_write(jw, &(struct view){.model = model});
    channels_write(jw, conf, model, only_channel_idx);
    jw_object_end(jw);
}

/* ---- text: a row a model, and one for each further price ---------------------------------- */

static void
price_cell(struct jw *jw, const char *name, const struct view *view, enum conf_class class)
{
    char text[DECIMAL_TEXT_LEN];

    jw_key_cstr(jw, name, price_text(view, class, text));
}

/* "value 0.75/6 smart 1.25/10"; of one channel that was asked for only the prices. */
static void
credits_cell(struct jw *jw, const struct conf *conf, struct view view, int only_channel_idx)
{
    char in[DECIMAL_TEXT_LEN], out[DECIMAL_TEXT_LEN];
    struct buf cell;

    buf_init(&cell, 65536);
    for (size_t i = 0; i < conf->channel_count; i++) {
        const struct conf_channel *channel = &conf->channels[i];

        if ((only_channel_idx != NO_CHANNEL && (size_t)only_channel_idx != i) ||
            !channel_serves(conf, channel, view.model))
            continue;
        view.multiplier_u = &channel->multiplier_u[view.model->currency];
        if (cell.len > 0)
            buf_add_char(&cell, ' ');
        if (only_channel_idx == NO_CHANNEL)
            buf_add_fmt(&cell, "%.*s ", STR_ARGS(channel->name));
        buf_add_fmt(&cell, "%s/%s", price_text(&view, CONF_INPUT, in),
                    price_text(&view, CONF_OUTPUT, out));
    }
    jw_key_str(jw, "credits", cell.len > 0 ? buf_str(&cell) : STR("-"));
    buf_free(&cell);
}

static void
prices_cells(struct jw *jw, const struct conf *conf, const struct view *view, int only_channel_idx)
{
    price_cell(jw, "in", view, CONF_INPUT);
    price_cell(jw, "out", view, CONF_OUTPUT);
    price_cell(jw, "read", view, CONF_CACHE_READ);
    price_cell(jw, "write", view, CONF_CACHE_WRITE_5M);
    credits_cell(jw, conf, *view, only_channel_idx);
}

/* A line below a model: its prices in a tier, by a service or at a discount. */
static void
further_row(struct jw *jw, const struct conf *conf, const struct view *view, int only_channel_idx)
{
    static const char *const blank[] = {"family", "context", "max", "can", "currency"};
    const struct conf_model *model = view->model;
    char name[192], from[16], to[16];

    if (view->tier > 0) {
        const struct conf_tier *tier = &model->tiers[view->tier - 1];

        snprintf(name, sizeof(name), "  context %s %llu", tier->inclusive ? "from" : "above",
                 (unsigned long long)tier->above_tokens);
    } else if (view->service > 0) {
        snprintf(name, sizeof(name), "  service %.*s",
                 STR_ARGS(model->services[view->service - 1].name));
    } else {
        const struct conf_discount *discount = &model->discounts[view->discount - 1];

        snprintf(name, sizeof(name), "  %s-%s %.*s", clock_text(discount->hours.from_min, from),
                 clock_text(discount->hours.to_min, to), STR_ARGS(discount->zone_name));
    }
    jw_object(jw);
    jw_key_cstr(jw, "name", name);
    for (size_t i = 0; i < COUNT_OF(blank); i++)
        jw_key_cstr(jw, blank[i], "");
    prices_cells(jw, conf, view, only_channel_idx);
    jw_object_end(jw);
}

static void
model_rows(struct jw *jw, const struct conf *conf, const struct conf_model *model,
           int only_channel_idx)
{
    struct view view = {.model = model};

    jw_object(jw);
    jw_key_str(jw, "name", model->name);
    jw_key_str(jw, "family", model->family);
    count_write(jw, "context", model->context_tokens);
    count_write(jw, "max", model->output_tokens_max);
    can_write(jw, model->can);
    jw_key_cstr(jw, "currency", conf_currency_name[model->currency]);
    prices_cells(jw, conf, &view, only_channel_idx);
    jw_object_end(jw);
    for (view.tier = 1; view.tier <= model->tier_count; view.tier++)
        further_row(jw, conf, &view, only_channel_idx);
    view.tier = 0;
    for (view.service = 1; view.service <= model->service_count; view.service++)
        further_row(jw, conf, &view, only_channel_idx);
    view.service = 0;
    for (view.discount = 1; view.discount <= model->discount_count; view.discount++)
        further_row(jw, conf, &view, only_channel_idx);
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

/* ---- the command --------------------------------------------------------------------------- */

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
