/*
 * From what stands in the file to the snapshot: typed values, checks of each section by itself,
 * then of all together. Inside of conf/ only.
 */
#ifndef CONF_BUILD_H
#define CONF_BUILD_H

#include "base/base.h"
#include "conf/conf.h"
#include "conf/load.h"

/* What the keys of a section fill in: the snapshot's struct, and what it is made from. */
struct draft_secret {
    struct str key_env;
    struct str key_file;
    struct str key_credential;
};

struct draft_upstream {
    struct conf_upstream out;
    struct conf_credential own;
    struct draft_secret from;
    struct str ca_file;
    struct conf_strs renames;
};

struct draft_credential {
    struct conf_credential out;
    struct draft_secret from;
};

struct draft_model {
    struct conf_model out;
};

struct draft_tier {
    struct conf_tier out;
};

struct draft_change {
    struct conf_change out;
};

struct draft_discount {
    struct conf_change out;
    struct str from;
    struct str to;
    struct str zone;
};

struct draft_channel {
    struct conf_channel out;
    struct conf_strs use;
    struct conf_strs weights;
};

struct draft_telemetry {
    struct conf_telemetry out;
    struct draft_secret from;
    struct str ca_file;
};

struct draft_mail {
    struct conf_mail out;
    struct draft_secret from;
    struct str ca_file;
    struct str sender;
};

struct draft_turnstile {
    struct conf_turnstile out;
    struct draft_secret from;
    struct str ca_file;
};

struct draft_oidc {
    struct conf_oidc out;
    struct draft_secret from;
    struct str ca_file;
};

struct draft_webhooks {
    struct conf_service_at out;
    struct str ca_file;
};

struct draft_rule {
    struct conf_rule out;
    struct str hours;
    struct str zone;
    struct str exhausted;
    struct str to_model;
    struct conf_strs to_channel;
    struct conf_strs fallback;
};

/* Fills *draft, zeroed before, by the section's rows: what the file states, else the default. */
void build_fill(struct load *load, const struct raw_section *section, void *draft);

/* conf/model.c: a model with what stands inside of it. */
void build_model(struct load *load, struct raw_section *section, void *slot);
#define MODEL_NAME_ALSO ":/@+" /* bytes that a model's name may have besides the usual */

/*
 * conf/terms.c: fills in the prices that are left out and says (CONF_CLASS_BIT()s) which were not. With
 * a model, they are those of a tier of it.
 */
uint32_t rates_fill(struct conf_rates *rates, const struct conf_model *model);

/*
 * conf/terms.c: fills model->terms. False when out of memory, or when *why says which number it
 * cannot be exact in.
 */
bool terms_make(struct arena *arena, struct conf_model *model, const char **why) MUST_CHECK;
/* Is any call of at most CONF_COUNT_MAX of each class payable at this multiplier? */
bool terms_payable(const struct conf_model *model, int64_t multiplier_u) MUST_CHECK;

/* conf/zone.c: the zone that the section's key "zone" names; in a text that opens no file, UTC. A fault
 * when the machine knows none of that name. */
void zone_of(struct load *load, const struct raw_section *section, struct str name,
             struct zone *out);

/* Everything: load->sections become load->conf. Faults are added as they are found. */
void build_conf(struct load *load);

/* One rule by itself, and then all of them with what they refer to: rule.c. */
void build_rule(struct load *load, struct raw_section *section, void *slot);
void check_rules(struct load *load);

/*
 * References between sections, and what only shows in the whole. After build_conf(), and only
 * when the grammar was without a fault, since else much would be missing that is there.
 */
void check_conf(struct load *load);

/* The credentials of an upstream, whose section has been read into *draft: credential.c. */
void build_credentials(struct load *load, const struct raw_section *section,
                       const struct draft_upstream *draft, struct conf_upstream *out);

/*
 * Reads the secret that a section names into *out, or says why there is none. owner is what the secret
 * is for, as messages name it.
 */
void secret_load(struct load *load, const struct raw_section *section, const char *owner,
                 const struct draft_secret *from, struct conf_credential *out);

/* The same of the headers that a collector wants. Out: its secret, or why there is none. */
void secret_load_headers(struct load *load, const struct raw_section *section, const char *owner,
                         const struct draft_secret *from, struct conf_credential *out);

/* Whether it is the name of an environment variable, not a secret in its place: credential.c. */
bool variable_name_ok(struct str name);

/* The same where the three keys are called otherwise. */
struct secret_names {
    const char *env, *file, *credential;
};
void secret_load_as(struct load *load, const struct raw_section *section, const char *owner,
                    const struct secret_names *names, const struct draft_secret *from,
                    struct conf_credential *out);

/* The one section of an untitled kind, or NULL; a second is a fault. */
struct raw_section *section_once(struct load *load, enum conf_section_kind kind);

/* What is told of calls, and to whom: watch.c. */
void build_log(struct load *load);
void build_metrics(struct load *load);
void build_telemetry(struct load *load);

/* Who may come: manage.c. */
void build_manage(struct load *load);

/* What credit costs: topup.c. */
void build_topup(struct load *load);

/* What the manage process talks to: outside.c. */
void build_mail(struct load *load);
void build_turnstile(struct load *load);
void build_webhooks(struct load *load);
void build_oidc(struct load *load, struct raw_section *section, void *slot);

/* `path` as the file at `at` means it: relative to where that file is. STR_NONE: no memory. */
struct str path_from(struct load *load, struct place at, struct str path);
/* The section's ca-file, as stated; a fault when it cannot be read. STR_NONE: there is none. */
struct str build_ca_file(struct load *load, const struct raw_section *section, struct str stated);

#endif
