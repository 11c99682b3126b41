/* The section topup: what credit costs, and what comes with it. */
#include "conf/build.h"

#include "base/str.h"
#include "base/ucr.h"

#define PERCENT_MAX_U (100 * INT64_C(1000000))

/* "100: 5" */
static bool
step_parse(struct str text, struct conf_step *out)
{
    struct str percent, from = str_split(text, ':', &percent);

    return percent.ptr != NULL && decimal_parse(str_trim(from), 6, &out->from_ucr) && out->from_ucr >= 0 &&
           decimal_parse(str_trim(percent), 6, &out->percent_u) && out->percent_u > 0 &&
           out->percent_u <= PERCENT_MAX_U;
}

static void
steps_read(struct load *load, const struct raw_section *section, struct conf_topup *out)
{
    struct conf_step *steps = load_alloc(load, out->bonus.count * sizeof *steps);

    if (steps == NULL)
        return;
    for (size_t i = 0; i < out->bonus.count; i++) {
        struct str text = out->bonus.at[i];

        if (!step_parse(text, &steps[i])) {
            load_fault(load, raw_place(section, "bonus"),
                       "bonus: \"%.*s\" is none; write \"100: 5\" for 5 per cent from 100 credits on, at most 100",
                       STR_ARGS(text));
            return;
        }
        if (i > 0 && steps[i].from_ucr <= steps[i - 1].from_ucr)
            load_fault(load, raw_place(section, "bonus"), "bonus: steps rise: \"%.*s\" does not", STR_ARGS(text));
    }
    out->steps = steps;
    out->step_count = out->bonus.count;
}

/* "USD 50" */
static bool
package_parse(struct str text, struct conf_package *out)
{
    struct str amount, currency = str_split(text, ' ', &amount);
    int64_t units_u;

    for (unsigned i = 0; i < CONF_CURRENCY_COUNT; i++) {
        if (!str_eq(currency, str_from(conf_currency_name[i])))
            continue;
        out->currency = (enum conf_currency)i;
        if (!decimal_parse(str_trim(amount), 2, &units_u) || units_u <= 0)
            return false;
        out->amount_minor = units_u;
        return true;
    }
    return false;
}

static void
packages_read(struct load *load, const struct raw_section *section, struct conf_topup *out)
{
    struct conf_package *offers = load_alloc(load, out->packages.count * sizeof *offers);

    if (offers == NULL)
        return;
    for (size_t i = 0; i < out->packages.count; i++) {
        if (!package_parse(out->packages.at[i], &offers[i]))
            load_fault(load, raw_place(section, "packages"), "packages: \"%.*s\" is none; write \"USD 50\"",
                       STR_ARGS(out->packages.at[i]));
        else if (out->credits_u[offers[i].currency] == 0)
            load_fault(load, raw_place(section, "packages"),
                       "packages: \"%.*s\": nothing is sold for that currency (per-usd, per-cny)",
                       STR_ARGS(out->packages.at[i]));
    }
    out->offers = offers;
    out->offer_count = out->packages.count;
}

void
build_topup(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_TOPUP};
    struct raw_section *section = section_once(load, CONF_S_TOPUP);
    struct conf_topup *out = &load->conf->topup;
    size_t faults = load->faults->fault_count;

    build_fill(load, section != NULL ? section : &none, out);
    if (section == NULL || load->faults->fault_count != faults)
        return;
    out->on = out->credits_u[CONF_USD] > 0 || out->credits_u[CONF_CNY] > 0;
    if (!out->on)
        load_fault(load, section->at, "topup: say what credit costs: per-usd, per-cny");
    if (out->maximum_ucr != 0 && out->maximum_ucr < out->minimum_ucr)
        load_fault(load, section->at, "maximum is less than minimum");
    if (out->bonus.count > 0)
        steps_read(load, section, out);
    if (out->packages.count > 0)
        packages_read(load, section, out);
}
