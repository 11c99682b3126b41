/* The credentials of an upstream: its own keys, or those of its credential sections. */
#include "conf/build.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "conf/value.h"

#define OWNER_BYTES 256

static const char *const sources[] = {"key-env", "key-file", "key-credential"};

bool
variable_name_ok(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';

        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return true;
}

/* The first of the keys that name a source of the secret, or NULL. More than one is a fault. */
static const char *
source_of(struct load *load, const struct raw_section *section)
{
    const char *first = NULL;

    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        if (raw_option(section, sources[i]) == NULL)
            continue;
        if (first != NULL)
            load_fault(load, raw_place(section, sources[i]),
                       "%s: the key comes from %s already; name one source", sources[i], first);
        first = first == NULL ? sources[i] : first;
    }
    return first;
}

static void
read_secret(struct load *load, const struct raw_section *section, const char *owner,
            const struct draft_secret *from, struct conf_credential *out)
{
    if (from->key_env.ptr != NULL && !variable_name_ok(from->key_env))
        load_fault(load, raw_place(section, "key-env"),
                   "key-env: this is not the name of an environment variable; the key itself "
                   "does not belong in this file");
    else if (from->key_credential.ptr != NULL &&
             (str_find(from->key_credential, '/', 0) < from->key_credential.len ||
              from->key_credential.ptr[0] == '.'))
        load_fault(load, raw_place(section, "key-credential"),
                   "key-credential: this is not the name of a credential");
    else if (!load->from_text)
        secret_load(load, section, owner, from, out);
}

/*
 * What a reload must not lose: a key that the running configuration has and that cannot be read now. By
 * the names of upstream and credential, since nothing else of the two need be the same.
 */
static bool
is_running(const struct load *load, struct str upstream_name, struct str credential_name)
{
    int idx = load->running != NULL ? conf_upstream_index(load->running, upstream_name) : CONF_NONE;
    const struct conf_upstream *upstream;

    if (idx == CONF_NONE)
        return false;
    upstream = &load->running->upstreams[idx];
    for (size_t i = 0; i < upstream->credential_count; i++)
        if (str_eq(upstream->credentials[i].name, credential_name))
            return upstream->credentials[i].secret.len > 0;
    return false;
}

static void
check_kept(struct load *load, const struct raw_section *section, struct str upstream_name,
           const struct conf_credential *credential)
{
    struct place at = section->at;

    if (credential->disabled_reason == NULL ||
        !is_running(load, upstream_name, credential->name))
        return;
    for (size_t i = 0; i < COUNT_OF(sources); i++)
        if (raw_option(section, sources[i]) != NULL)
            at = raw_place(section, sources[i]);
    load_fault(load, at,
               "%s: the server has this key and would lose it: %s; make it readable for the server's "
               "user, or take it out of the file",
               section_label(section), credential->disabled_reason);
}

/* An upstream's only one. */
static void
build_own(struct load *load, const struct raw_section *section, const struct draft_upstream *draft,
          struct conf_upstream *upstream, struct conf_credential *out)
{
    char owner[OWNER_BYTES];

    *out = draft->own;
    out->weight = 1;
    snprintf(owner, sizeof(owner), "%s", section_label(section));
    (void)source_of(load, section);
    read_secret(load, section, owner, &draft->from, out);
    upstream->disabled_reason = out->disabled_reason;
    check_kept(load, section, upstream->name, out);
}

/* One of several: what it does not state is as its upstream has it. */
static void
build_one_of(struct load *load, const struct raw_section *section, const struct raw_section *child,
             const struct conf_credential *own, struct conf_credential *out)
{
    struct draft_credential draft = {.out = *own};
    char owner[OWNER_BYTES];
    struct value_why why;

    if (!value_name(child->title, CONF_NAME_LEN_MAX, "", &why))
        load_fault(load, child->at, "%s: %s", section_label(child), why.text);
    build_fill(load, child, &draft);
    *out = draft.out;
    out->name = child->title;
    snprintf(owner, sizeof(owner), "%s of %s", section_label(child), section_label(section));
    if (source_of(load, child) == NULL && !child->damaged)
        load_fault(load, child->at, "%s: names no key; add key-env, key-file or key-credential",
                   owner);
    read_secret(load, child, owner, &draft.from, out);
}

static bool
same_secret(const struct conf_credential *a, const struct conf_credential *b)
{
    return a->secret.len > 0 && str_eq(a->secret, b->secret);
}

/* Beside those before it. */
static void
check_one_of(struct load *load, const struct raw_section *child, const struct conf_credential *all,
             size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (str_eq(all[k].name, all[i].name))
            load_fault(load, child->at, "%s is there twice in its upstream", section_label(child));
        else if (same_secret(&all[k], &all[i]))
            load_warning(load, child->at,
                         "%s has the same key as credential \"%.*s\": the provider counts them "
                         "together",
                         section_label(child), STR_ARGS(all[k].name));
    }
}

static void
build_pool(struct load *load, const struct raw_section *section,
           const struct draft_upstream *draft, struct conf_upstream *upstream,
           struct conf_credential *all)
{
    const struct raw_section *child = section->children;
    bool any = false;

    for (size_t i = 0; i < COUNT_OF(sources); i++)
        if (raw_option(section, sources[i]) != NULL)
            load_fault(load, raw_place(section, sources[i]),
                       "%s: %s has credential sections; the keys stand in these", sources[i],
                       section_label(section));
    for (size_t i = 0; i < upstream->credential_count; i++, child = child->next) {
        build_one_of(load, section, child, &draft->own, &all[i]);
        check_one_of(load, child, all, i);
        check_kept(load, child, upstream->name, &all[i]);
        any |= all[i].disabled_reason == NULL;
    }
    if (!any)
        upstream->disabled_reason = "no key of its credentials can be read";
}

void
build_credentials(struct load *load, const struct raw_section *section,
                  const struct draft_upstream *draft, struct conf_upstream *out)
{
    size_t stated = 0, count;
    struct conf_credential *all;

    for (const struct raw_section *child = section->children; child != NULL; child = child->next)
        stated++;
    if (stated > CONF_CREDENTIAL_COUNT_MAX)
        load_fault(load, section->at, "%s: too many credentials: at most %d",
                   section_label(section), CONF_CREDENTIAL_COUNT_MAX);
    count = MIN(MAX(stated, (size_t)1), (size_t)CONF_CREDENTIAL_COUNT_MAX);
    if (load->conf->credential_count <= CONF_CREDENTIAL_TOTAL_COUNT_MAX &&
        load->conf->credential_count + count > CONF_CREDENTIAL_TOTAL_COUNT_MAX)
        load_fault(load, section->at, "%s: too many credentials of all upstreams: at most %d",
                   section_label(section), CONF_CREDENTIAL_TOTAL_COUNT_MAX);
    all = load_alloc(load, count * sizeof(*all));
    if (all == NULL)
        return;
    out->credentials = all;
    out->credential_count = count;
    out->credential_first = load->conf->credential_count;
    load->conf->credential_count += count;
    if (stated == 0)
        build_own(load, section, draft, out, all);
    else
        build_pool(load, section, draft, out, all);
}
