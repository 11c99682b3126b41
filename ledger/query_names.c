/*
 * Queries: names of things, for who completes a command line: of tenants and keys out of the store, of
 * models and channels out of the server's routes.conf. Not all where there are very many. On any thread.
 */
#include <stdio.h>

#include "base/str.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/query.h"

#define NAMES_MAX 1000u

static void
write_name(struct jw *jw, struct str name, const char *note)
{
    jw_object(jw);
    jw_key_str(jw, "name", name);
    jw_key_cstr(jw, "note", note);
    jw_object_end(jw);
}

static int
write_tenant(struct command *command, uint32_t id)
{
    struct entity_tenant tenant;
    char note[32];
    int rc = entity_tenant_get(&command->txn, id, &tenant);

    if (rc < 0)
        return rc;
    snprintf(note, sizeof(note), "%u%s", tenant.id, tenant.disabled ? ", disabled" : "");
    write_name(&command->jw, str_from(tenant.name), note);
    return 0;
}

static int
write_key(struct command *command, uint32_t id)
{
    struct entity_key key;
    char note[2 * ENTITY_NAME_MAX + 32], number[16];
    int rc = entity_key_get(&command->txn, id, &key);

    if (rc < 0)
        return rc;
    snprintf(note, sizeof(note), "%s%s%s%s", command_tenant_name(command, key.tenant_id),
             key.name[0] != '\0' ? ": " : "", key.name, key.disabled ? ", disabled" : "");
    snprintf(number, sizeof(number), "%u", key.id);
    write_name(&command->jw, str_from(number), note);
    return 0;
}

static int
write_entities(struct command *command, enum db_table table,
               int (*write)(struct command *command, uint32_t id))
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    uint32_t count = 0;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(&command->txn, table, &from, 0, &walk);
    while (rc == 0 && count++ < NAMES_MAX && db_walk_next(&walk, &key, &value))
        rc = write(command, db_u32(key, 0));
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

/* What a caller may name for a model: autos too. */
static void
write_models(struct jw *jw, const struct conf *conf)
{
    for (size_t i = 0; i < conf->auto_count; i++)
        write_name(jw, conf->autos[i].name, "auto");
    for (size_t i = 0; i < MIN(conf->model_count, (size_t)NAMES_MAX); i++)
        write_name(jw, conf->models[i].name, NULL);
}

static void
write_channels(struct jw *jw, const struct conf *conf)
{
    for (size_t i = 0; i < conf->channel_count; i++)
        write_name(jw, conf->channels[i].name, NULL);
}

static void
write_conf(struct command *command, void (*write)(struct jw *jw, const struct conf *conf))
{
    struct ledger *ledger = command->ledger;

    pthread_rwlock_rdlock(&ledger->conf_lock);
    if (ledger->conf != NULL)
        write(&command->jw, ledger->conf);
    pthread_rwlock_unlock(&ledger->conf_lock);
}

static int
names_list(struct command *command)
{
    struct str of;
    int rc = 0;

    if (!command_str(command, "of", true, &of))
        return 0;
    jw_key(&command->jw, "names");
    jw_array(&command->jw);
    if (str_eq(of, STR("tenants")))
        rc = write_entities(command, DB_TENANT, write_tenant);
    else if (str_eq(of, STR("keys")))
        rc = write_entities(command, DB_KEY, write_key);
    else if (str_eq(of, STR("models")))
        write_conf(command, write_models);
    else if (str_eq(of, STR("channels")))
        write_conf(command, write_channels);
    else
        command_refuse(command, COMMAND_USAGE, "of: one of tenants, keys, models, channels");
    jw_array_end(&command->jw);
    return rc;
}

const struct command_def command_names_defs[] = {
    {.name = "names", .kind = COMMAND_READ, .run = names_list},
    {.name = NULL},
};
