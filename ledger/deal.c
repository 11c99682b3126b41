#include "ledger/deal.h"

#include "base/str.h"
#include "base/ucr.h"
#include "conf/conf.h"
#include "shm/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *
deal_parse(struct str text, struct entity_deal *out)
{
    struct str models, channel, rest = text;
    size_t at = text.len;
    int64_t deal_u;

    memset(out, 0, sizeof(*out));
    while (at > 0 && text.ptr[at - 1] != '=')
        at--;
    if (at == 0)
        return "no \"=\" in it";
    if (!decimal_parse((struct str){text.ptr + at, text.len - at}, 6, &deal_u) || deal_u < 1 ||
        deal_u > CONF_FACTOR_MAX_U)
        return "its factor is no number from 0.000001 to 1000 with up to six decimals";
    rest.len = at - 1;
    channel = str_split(rest, ':', &models); /* names of models may have more of them */
    if (!str_eq(channel, STR("*"))) {
        if (!entity_text_ok(channel, ENTITY_NAME_MAX))
            return "it names no channel";
        str_copy(channel, out->channel, sizeof(out->channel));
    }
    if (models.ptr != NULL && !str_eq(models, STR("*"))) {
        if (!entity_text_ok(models, ENTITY_DEAL_MODELS_MAX))
            return "its models are no glob of up to 128 bytes";
        str_copy(models, out->models, sizeof(out->models));
    }
    out->deal_u = (uint32_t)deal_u;
    return NULL;
}

size_t
deal_text(const struct entity_deal *deal, char *text)
{
    char factor[UCR_TEXT_LEN + 1];
    int len;

    (void)ucr_text(deal->deal_u, factor); /* six decimals, as credits have */
    len = snprintf(text, DEAL_TEXT_LEN + 1, "%s%s%s=%s", deal->channel[0] != '\0' ? deal->channel : "*",
                   deal->models[0] != '\0' ? ":" : "", deal->models, factor);
    ASSERT(len > 0 && len <= DEAL_TEXT_LEN);
    return (size_t)len;
}

void
deals_write(struct jw *jw, const struct entity_deals *deals)
{
    char text[DEAL_TEXT_LEN + 1];

    jw_key(jw, "prices");
    jw_array(jw);
    for (uint32_t i = 0; i < deals->count; i++)
        jw_str(jw, (struct str){text, deal_text(&deals->deal[i], text)});
    jw_array_end(jw);
}

void
deals_read(struct js_value prices, struct entity_deals *out)
{
    struct js_value name, value;
    struct js_iter it;
    char scratch[1024];

    memset(out, 0, sizeof(*out));
    for (js_iter_init(&it, prices); js_next(&it, &name, &value);)
        if (out->count < KEY_DEALS_MAX && value.raw.len < sizeof(scratch) &&
            deal_parse(js_unescape(value, scratch, sizeof(scratch)), &out->deal[out->count]) == NULL)
            out->count++;
}

bool
deals_fit(const struct entity_deals *deals)
{
    size_t len = 1;

    for (uint32_t i = 0; i < deals->count; i++)
        len += deals->deal[i].models[0] != '\0' ? strlen(deals->deal[i].models) + 1 : 0;
    return len <= KEY_DEAL_GLOBS_BYTES;
}

int
deals_publish(const struct entity_deals *deals, struct region *region, struct key_extra *extra)
{
    struct key_deals *out = &extra->deals;
    size_t len = 1; /* the first is empty: any model */

    ASSERT(deals->count <= KEY_DEALS_MAX && deals_fit(deals));
    for (uint32_t i = 0; i < deals->count; i++) {
        const struct entity_deal *deal = &deals->deal[i];
        size_t models_len = strlen(deal->models);

        out->deal[i].deal_u = deal->deal_u;
        if (deal->channel[0] != '\0') {
            out->deal[i].channel = name_intern(region, str_from(deal->channel));
            if (out->deal[i].channel == 0)
                return -ENOSPC;
        }
        if (models_len == 0)
            continue;
        out->deal[i].glob = (uint16_t)len;
        memcpy(out->globs + len, deal->models, models_len);
        len += models_len + 1;
    }
    extra->deal_count = (uint16_t)deals->count;
    return 0;
}
