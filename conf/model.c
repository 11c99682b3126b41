/* A model with what stands inside of it: tiers, services, discounts, and the terms they make. */
#include <string.h>

#include "base/str.h"
#include "conf/build.h"
#include "conf/value.h"

#define DAY_S INT64_C(86400)

/* ---- tiers --------------------------------------------------------------------------------- */

static uint64_t
tier_start(const struct conf_tier *tier)
{
    return tier->above_tokens + !tier->inclusive;
}

static void
build_tier(struct load *load, const struct raw_section *section, const struct conf_model *model,
           struct conf_tier *out)
{
    struct draft_tier draft = {0};

    build_fill(load, section, &draft);
    *out = draft.out;
    out->title = section->title;
    out->stated = rates_fill(&out->rates, model);
    if (out->stated == 0)
        load_fault(load, section->at, "%s: states no price", section_label(section));
}

static void
check_tier(struct load *load, const struct raw_section *section, const struct conf_tier *tiers,
           size_t count)
{
    uint64_t start = tier_start(&tiers[count]);

    for (size_t i = 0; i < count; i++)
        if (tier_start(&tiers[i]) == start)
            load_fault(load, section->at, "%s: starts where tier \"%.*s\" does",
                       section_label(section), STR_ARGS(tiers[i].title));
    if (count > 0 && start > 1 && tier_start(&tiers[count - 1]) > start)
        load_fault(load, section->at,
                   "%s: starts before tier \"%.*s\", which stands above it; write tiers from the "
                   "smallest context to the largest",
                   section_label(section), STR_ARGS(tiers[count - 1].title));
}

/* ---- services and discounts ---------------------------------------------------------------- */

static void
check_change(struct load *load, const struct raw_section *section, const struct conf_change *change)
{
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        if (change->rates.u_per_mtok[class] != CONF_PRICE_ABSENT)
            return;
    if (change->factor_u == CONF_MICRO)
        load_fault(load, section->at, "%s: states neither a factor nor a price",
                   section_label(section));
}

static void
build_service(struct load *load, const struct raw_section *section, struct conf_service *out,
              size_t count)
{
    struct draft_change draft = {0};
    struct value_why why;

    build_fill(load, section, &draft);
    check_change(load, section, &draft.out);
    out[count] = (struct conf_service){.name = section->title, .change = draft.out};
    if (!value_name(section->title, CONF_SERVICE_NAME_LEN_MAX, "", &why))
        load_fault(load, section->at, "%s: %s", section_label(section), why.text);
    if (conf_service_is_plain(section->title))
        load_fault(load, section->at, "%s: that is no other service: its prices are the model's",
                   section_label(section));
    for (size_t i = 0; i < count; i++)
        if (str_eq(out[i].name, section->title))
            load_fault(load, section->at, "%s is there twice", section_label(section));
}

static bool
hours_meet_with(const struct conf_discount *a, const struct conf_discount *b, int64_t at_s)
{
    const struct conf_discount *both[] = {a, b};
    int64_t start_s[2], len_s[2], apart_s;

    for (unsigned i = 0; i < 2; i++) {
        start_s[i] =
            (int64_t)both[i]->hours.from_min * 60 - zone_offset_s(&both[i]->zone, at_s * 1000000);
        len_s[i] = ((int64_t)both[i]->hours.to_min - both[i]->hours.from_min) * 60;
        len_s[i] += len_s[i] <= 0 ? DAY_S : 0;
    }
    apart_s = ((start_s[1] - start_s[0]) % DAY_S + DAY_S) % DAY_S;
    return apart_s < len_s[0] || (DAY_S - apart_s) % DAY_S < len_s[1];
}

/* At any time: looks after each change of the clocks of either's zone. */
static bool
hours_meet(const struct conf_discount *a, const struct conf_discount *b)
{
    for (size_t i = 0; i < a->zone.count; i++)
        if (hours_meet_with(a, b, MAX(a->zone.changes[i].from_s, 0)))
            return true;
    for (size_t i = 0; i < b->zone.count; i++)
        if (hours_meet_with(a, b, MAX(b->zone.changes[i].from_s, 0)))
            return true;
    return false;
}

static bool
discount_hours(struct load *load, const struct raw_section *section,
               const struct draft_discount *draft, struct zone_hours *out)
{
    static const char *const keys[] = {"from", "to"};
    const struct str *texts[] = {&draft->from, &draft->to};
    uint16_t *minutes[] = {&out->from_min, &out->to_min};
    bool good = true;

    for (unsigned i = 0; i < 2; i++) {
        if (texts[i]->ptr == NULL)
            return false; /* said already */
        if (zone_clock_parse(*texts[i], minutes[i]))
            continue;
        load_fault(load, raw_place(section, keys[i]),
                   "%s: \"%.*s\" is not a time of day; write one such as 16:30", keys[i],
                   STR_ARGS(*texts[i]));
        good = false;
    }
    if (good && out->from_min == out->to_min) {
        load_fault(load, raw_place(section, "to"),
                   "to: the same as from; for the whole day change the model's own prices");
        good = false;
    }
    return good;
}

static void
build_discount(struct load *load, const struct raw_section *section, struct conf_discount *out,
               size_t count)
{
    struct conf_discount *discount = &out[count];
    struct draft_discount draft = {0};
    bool good;

    build_fill(load, section, &draft);
    check_change(load, section, &draft.out);
    *discount = (struct conf_discount){
        .title = section->title, .zone_name = draft.zone, .zone = zone_utc, .change = draft.out};
    good = discount_hours(load, section, &draft, &discount->hours);
    zone_of(load, section, draft.zone, &discount->zone);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(out[i].title, section->title))
            load_fault(load, section->at, "%s is there twice", section_label(section));
        else if (good && out[i].hours.from_min != out[i].hours.to_min &&
                 hours_meet(&out[i], discount))
            load_fault(load, section->at, "%s: holds in hours that discount \"%.*s\" does",
                       section_label(section), STR_ARGS(out[i].title));
    }
}

/* ---- what stands inside of a model --------------------------------------------------------- */

static size_t
child_count(struct load *load, const struct raw_section *section, enum conf_section_kind kind,
            size_t most)
{
    size_t count = 0;

    for (const struct raw_section *child = section->children; child != NULL; child = child->next) {
        if (child->kind != kind)
            continue;
        if (count == most) {
            load_fault(load, child->at, "%s: too many %ss: at most %zu", section_label(section),
                       conf_sections[kind].name, most);
            break;
        }
        count++;
    }
    return count;
}

static void
build_tiers(struct load *load, const struct raw_section *section, struct conf_model *model)
{
    size_t most = child_count(load, section, CONF_S_TIER, CONF_TIER_COUNT_MAX), count = 0;
    struct conf_tier *tiers = load_alloc(load, most * sizeof(*tiers));

    for (const struct raw_section *child = section->children;
         child != NULL && count < most && tiers != NULL; child = child->next) {
        if (child->kind != CONF_S_TIER)
            continue;
        build_tier(load, child, model, &tiers[count]);
        check_tier(load, child, tiers, count);
        count++;
    }
    model->tiers = tiers;
    model->tier_count = count;
}

static void
build_changes(struct load *load, const struct raw_section *section, struct conf_model *model)
{
    size_t services = child_count(load, section, CONF_S_SERVICE, CONF_SERVICE_COUNT_MAX);
    size_t discounts = child_count(load, section, CONF_S_DISCOUNT, CONF_DISCOUNT_COUNT_MAX);
    struct conf_service *service = load_alloc(load, services * sizeof(*service));
    struct conf_discount *discount = load_alloc(load, discounts * sizeof(*discount));

    if (service == NULL || discount == NULL)
        return;
    for (const struct raw_section *child = section->children; child != NULL; child = child->next) {
        if (child->kind == CONF_S_SERVICE && model->service_count < services)
            build_service(load, child, service, model->service_count++);
        else if (child->kind == CONF_S_DISCOUNT && model->discount_count < discounts)
            build_discount(load, child, discount, model->discount_count++);
    }
    model->services = service;
    model->discounts = discount;
}

static void
model_aliases(struct load *load, const struct raw_section *section)
{
    const struct raw_option *alias = raw_option(section, "alias");
    struct value_why why;

    for (const struct raw_value *value = alias != NULL ? alias->values : NULL; value != NULL;
         value = value->next)
        if (!value_name(value->text, CONF_MODEL_NAME_LEN_MAX, MODEL_NAME_ALSO, &why))
            load_fault(load, value->at, "alias: %s", why.text);
}

void
build_model(struct load *load, struct raw_section *section, void *slot)
{
    struct draft_model draft = {0};
    struct conf_model *out = slot;
    const char *why;

    build_fill(load, section, &draft);
    *out = draft.out;
    out->name = section->title;
    if (out->family.ptr == NULL)
        out->family = out->name;
    out->stated = rates_fill(&out->rates, NULL);
    build_tiers(load, section, out);
    build_changes(load, section, out);
    if (load->no_memory)
        return;
    if (!terms_make(&load->conf->memory->arena, out, &why)) {
        if (why == NULL)
            load->no_memory = true;
        else
            load_fault(load, section->at, "%s: %s", section_label(section), why);
    }
    if (out->context_tokens > 0 && out->output_tokens_max > out->context_tokens)
        load_fault(load, raw_place(section, "max-output"),
                   "max-output: %llu is more than the context of %llu",
                   (unsigned long long)out->output_tokens_max,
                   (unsigned long long)out->context_tokens);
    model_aliases(load, section);
}
