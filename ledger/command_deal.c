/* The argument "prices" of a tenant. */
#include "ledger/command_entity.h"
#include "ledger/deal.h"

#include "base/str.h"
#include "ledger/core.h"

#include <string.h>

static void
refuse_deal(struct command *command, struct str text, const char *why)
{
    command_refuse_field(command, COMMAND_USAGE, "invalid", "prices", "price: \"%.*s\": %s",
                         (int)MIN(text.len, 96u), text.ptr, why);
    command_hint(command, "write CHANNEL=FACTOR or CHANNEL:MODELS=FACTOR, as official:gpt-*=0.85; * is every "
                          "channel");
}

static bool
is_there(const struct entity_deals *deals, const struct entity_deal *deal)
{
    for (uint32_t i = 0; i < deals->count; i++)
        if (strcmp(deals->deal[i].channel, deal->channel) == 0 &&
            strcmp(deals->deal[i].models, deal->models) == 0)
            return true;
    return false;
}

static bool
take_deal(struct command *command, void *out, struct str text)
{
    struct entity_deals *deals = out;
    struct entity_deal deal;
    const char *why;

    if (str_eq(text, STR("none")))
        return true;
    why = deal_parse(text, &deal);
    if (why == NULL && deals->count == KEY_DEALS_MAX)
        why = "there are too many";
    if (why == NULL && is_there(deals, &deal))
        why = "there is one for the same already";
    if (why == NULL && deal.channel[0] != '\0' &&
        !command_channel_is(command, "prices", str_from(deal.channel)))
        return false;
    if (why == NULL) {
        deals->deal[deals->count++] = deal;
        if (deals_fit(deals))
            return true;
        why = "their models are too long together";
    }
    refuse_deal(command, text, why);
    return false;
}

bool
command_deal_args(struct command *command, struct entity_deals *deals)
{
    if (!command_has(command, "prices"))
        return true;
    memset(deals, 0, sizeof(*deals));
    return command_each_string(command, "prices", deals, take_deal);
}
