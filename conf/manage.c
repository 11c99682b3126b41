/* The section manage: who may come, and for how long. */
#include "conf/build.h"

#include "base/cidr.h"
#include "base/str.h"
#include "conf/url.h"
#include "conf/value.h"

const char *const conf_registration_name[] = {
    [CONF_CLOSED] = "closed",
    [CONF_APPROVAL] = "approval",
    [CONF_OPEN] = "open",
};
_Static_assert(COUNT_OF(conf_registration_name) == CONF_REGISTRATION_COUNT, "a new one needs a name");

static void
manage_url(struct load *load, const struct raw_section *section, struct conf_manage *out)
{
    struct value_why why;
    struct url url;

    if (!url_parse(out->url, &url, &why)) {
        load_fault(load, raw_place(section, "url"), "url: %s", why.text);
        return;
    }
    if (url.path.len > 0)
        load_fault(load, raw_place(section, "url"),
                   "url: the URL has a path; pages and API are at the root of their host");
    while (str_ends_with(out->url, STR("/")))
        out->url = load_copy(load, (struct str){out->url.ptr, out->url.len - 1});
}

static bool
domain_ok(struct str domain)
{
    for (size_t i = 0; i < domain.len; i++)
        if (domain.ptr[i] <= ' ' || domain.ptr[i] == '@' || domain.ptr[i] == '*')
            return false;
    return domain.len > 0 && domain.ptr[0] != '.';
}

/* Of IPv4 at least. */
static bool
is_everybody(const struct cidr *range)
{
    static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff};

    return range->bits <= 96 && cidr_has(range, v4);
}

static void
manage_proxies(struct load *load, const struct raw_section *section, struct conf_manage *out)
{
    struct cidr *proxies = load_alloc(load, out->trusted.count * sizeof *proxies);

    if (proxies == NULL)
        return;
    for (size_t i = 0; i < out->trusted.count; i++) {
        struct str text = out->trusted.at[i];

        if (!cidr_parse(text, &proxies[i]))
            load_fault(load, raw_place(section, "trusted-proxies"),
                       "trusted-proxies: \"%.*s\" is none; write 192.0.2.1 or 10.0.0.0/8", STR_ARGS(text));
        else if (is_everybody(&proxies[i]))
            load_fault(load, raw_place(section, "trusted-proxies"),
                       "trusted-proxies: \"%.*s\" is everybody: any client could say which address it has",
                       STR_ARGS(text));
    }
    out->proxies = proxies;
    out->proxy_count = out->trusted.count;
}

void
build_manage(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_MANAGE};
    struct raw_section *section = section_once(load, CONF_S_MANAGE);
    struct conf_manage *out = &load->conf->manage;

    size_t faults = load->faults->fault_count;

    build_fill(load, section != NULL ? section : &none, out);
    if (section == NULL || load->faults->fault_count != faults)
        return;
    if (out->url.ptr != NULL)
        manage_url(load, section, out);
    for (size_t i = 0; i < out->domains.count; i++)
        if (!domain_ok(out->domains.at[i]))
            load_fault(load, raw_place(section, "domains"),
                       "domains: \"%.*s\" is none; write example.org", STR_ARGS(out->domains.at[i]));
    if (out->trusted.count > 0)
        manage_proxies(load, section, out);
    if (out->session_idle_ms > out->session_ms)
        load_fault(load, section->at, "session-idle is longer than session-time");
}
