/*
 * Commands about what upstreams keep for tenants. Workers ask them: whose a file is before a call
 * that names it goes on, and that it is a tenant's before the tenant is told of it. Each can be asked
 * again without harm: who has not heard the answer asks again.
 */
#include "ledger/command.h"

#include "base/str.h"
#include "ledger/core.h"
#include "ledger/kept.h"

#include <errno.h>

#define LIST_MAX 1000u

/* ---- arguments ---- */

static bool
arg_text(struct command *command, const char *name, bool must, struct str *out)
{
    if (!command_str(command, name, must, out))
        return false;
    if (out->ptr == NULL)
        *out = STR("");
    if (kept_text_ok(*out))
        return true;
    command_refuse(command, COMMAND_USAGE, "%s is not plain text", name);
    return false;
}

static bool
arg_kind(struct command *command, enum kept_kind *out)
{
    struct str name;

    if (!command_str(command, "kind", true, &name))
        return false;
    for (int kind = 0; kind < KEPT_KIND_COUNT; kind++)
        if (str_eq(name, str_from(kept_kind_name[kind]))) {
            *out = (enum kept_kind)kind;
            return true;
        }
    command_refuse(command, COMMAND_USAGE, "kind is file or batch");
    return false;
}

/* Who, and where; the rest of *out is empty. */
static bool
arg_owner(struct command *command, struct kept *out)
{
    *out = (struct kept){.created_us = ledger_wall_us(command->ledger)};
    return command_id(command, "tenant", true, &out->tenant_id) &&
           command_u32(command, "key", &out->key_id) &&
           command_u32(command, "project", &out->project_id) &&
           arg_text(command, "upstream", true, &out->upstream) &&
           arg_text(command, "credential", false, &out->credential) &&
           arg_text(command, "call", false, &out->call);
}

/* "" when it is none, or not as plain text is. */
static struct str
member_text(struct js_value object, const char *name)
{
    struct js_value value = js_get(object, str_from(name));

    return value.type == JS_STRING && !value.escaped && kept_text_ok(value.raw) ? value.raw
                                                                                : STR("");
}

static void
write_text(struct jw *jw, const char *name, struct str text)
{
    jw_key(jw, name);
    if (text.len > 0)
        jw_quoted(jw, text);
    else
        jw_null(jw);
}

/* ---- one ---- */

static void
write_kept(struct jw *jw, const struct kept *kept)
{
    jw_key_cstr(jw, "kind", kept_kind_name[kept->kind]);
    write_text(jw, "id", kept->id);
    jw_key_u64(jw, "tenant", kept->tenant_id);
    jw_key_u64(jw, "key", kept->key_id);
    jw_key_u64(jw, "project", kept->project_id);
    write_text(jw, "upstream", kept->upstream);
    write_text(jw, "credential", kept->credential);
    write_text(jw, "call", kept->call);
    jw_key_time(jw, "created", kept->created_us);
    write_text(jw, "purpose", kept->purpose);
    jw_key_u64(jw, "bytes", kept->bytes);
    jw_key_u64(jw, "lines", kept->lines);
    write_text(jw, "model", kept->model);
    write_text(jw, "endpoint", kept->endpoint);
    write_text(jw, "input", kept->input);
    write_text(jw, "output", kept->output);
    write_text(jw, "errors", kept->errors);
}

static int
kept_find_run(struct command *command)
{
    enum kept_kind kind;
    uint32_t tenant_id;
    struct kept kept;
    struct str id;
    int rc;

    if (!command_id(command, "tenant", true, &tenant_id) || !arg_kind(command, &kind) ||
        !arg_text(command, "id", true, &id))
        return 0;
    rc = kept_find(&command->txn, kind, id, tenant_id, &kept);
    if (rc == -ENOENT) {
        command_refuse(command, COMMAND_FAILED, "the tenant has no such %s", kept_kind_name[kind]);
        command_absent(command);
        return 0;
    }
    if (rc == 0)
        write_kept(&command->jw, &kept);
    return rc;
}

static int
kept_add_run(struct command *command)
{
    struct kept kept, there;
    uint32_t bytes;
    int rc;

    if (!arg_owner(command, &kept) || !arg_text(command, "id", true, &kept.id) ||
        !arg_text(command, "purpose", false, &kept.purpose) ||
        !command_u32(command, "bytes", &bytes) || !command_u32(command, "lines", &kept.lines) ||
        !arg_text(command, "model", false, &kept.model) ||
        !arg_text(command, "endpoint", false, &kept.endpoint))
        return 0;
    kept.kind = KEPT_FILE;
    kept.bytes = bytes;
    rc = kept_put_new(&command->txn, &kept);
    if (rc == -EEXIST) { /* asked once more; or two tenants are told of the same file */
        rc = kept_get(&command->txn, KEPT_FILE, kept.id, kept.upstream, kept.tenant_id, &there);
        if (rc == -ENOENT || (rc == 0 && !str_eq(there.call, kept.call))) {
            command_refuse(command, COMMAND_FAILED, "the upstream gave this ID before");
            return 0;
        }
        return rc;
    }
    command->changed = rc == 0;
    return rc;
}

static int
kept_drop_run(struct command *command)
{
    struct kept kept;
    uint32_t tenant_id;
    struct str id, upstream;
    int rc;

    if (!command_id(command, "tenant", true, &tenant_id) || !arg_text(command, "id", true, &id) ||
        !arg_text(command, "upstream", true, &upstream))
        return 0;
    rc = kept_get(&command->txn, KEPT_FILE, id, upstream, tenant_id, &kept);
    if (rc == 0)
        rc = kept_delete(&command->txn, &kept);
    command->changed = rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

/* ---- many: which of these are the tenant's ---- */

static bool
arg_list(struct command *command, const char *name, struct js_value *out)
{
    *out = js_get(command->args, str_from(name));
    if (js_is(*out, JS_ARRAY))
        return true;
    command_refuse(command, COMMAND_USAGE, "%s must be a list", name);
    return false;
}

static int
kept_own_run(struct command *command)
{
    struct js_value ids, key, value;
    struct kept owner, kept;
    struct js_iter it;
    int rc = 0;

    if (!arg_owner(command, &owner) || !arg_list(command, "ids", &ids))
        return 0;
    jw_key(&command->jw, "own");
    jw_array(&command->jw);
    for (js_iter_init(&it, ids); rc == 0 && js_next(&it, &key, &value);) {
        struct str id = value.type == JS_STRING && !value.escaped ? value.raw : STR("");

        rc = kept_get(&command->txn, KEPT_FILE, id, owner.upstream, owner.tenant_id, &kept);
        jw_bool(&command->jw, rc == 0);
        rc = rc == -ENOENT ? 0 : rc;
    }
    jw_array_end(&command->jw);
    return rc;
}

/* ---- batches, as an answer shows them ---- */

/* A file that a batch of the tenant's names. Somebody else's stays that. */
static int
add_file_of_batch(struct command *command, const struct kept *batch, struct str id)
{
    struct kept file = *batch;
    int rc;

    if (id.len == 0)
        return 0;
    file.kind = KEPT_FILE;
    file.id = id;
    file.purpose = STR("batch_output");
    file.lines = 0;
    file.model = file.endpoint = file.input = file.output = file.errors = STR("");
    file.created_us = ledger_wall_us(command->ledger);
    rc = kept_put_new(&command->txn, &file);
    if (rc == 0)
        command->changed = true;
    return rc == -EEXIST ? 0 : rc;
}

/* Copies what lies in the store, which a put moves. False: out of memory. */
static bool
keep_texts(struct command *command, struct kept *kept)
{
    struct str *texts[] = {&kept->credential, &kept->call,  &kept->purpose, &kept->model,
                           &kept->endpoint,   &kept->input, &kept->output,  &kept->errors};

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char *copy = arena_copy(&command->arena, *texts[i]);

        if (copy == NULL)
            return false;
        texts[i]->ptr = copy;
    }
    return true;
}

/* One that nobody has, made of a file of the tenant's, is the tenant's: nobody else could have made
 * it here, and whoever made it may not have lived to say so. */
static int
adopt(struct command *command, const struct kept *owner, struct kept *batch)
{
    struct kept file;
    int rc = kept_get(&command->txn, KEPT_FILE, batch->input, owner->upstream, owner->tenant_id,
                      &file);

    if (rc < 0)
        return rc;
    batch->lines = file.lines;
    batch->model = file.model;
    batch->endpoint = file.endpoint;
    batch->output = batch->errors = STR("");
    if (!keep_texts(command, batch))
        return -ENOMEM;
    rc = kept_put_new(&command->txn, batch);
    if (rc == 0)
        command->changed = true;
    return rc == -EEXIST ? -ENOENT : rc; /* another tenant's */
}

/* The files that it names by now, if it did not before. */
static int
note_files(struct command *command, struct kept *batch, struct str output, struct str errors)
{
    bool is_new = (output.len > 0 && !str_eq(output, batch->output)) ||
                  (errors.len > 0 && !str_eq(errors, batch->errors));
    int rc;

    if (!is_new)
        return 0;
    if (!keep_texts(command, batch))
        return -ENOMEM;
    if (output.len > 0)
        batch->output = output;
    if (errors.len > 0)
        batch->errors = errors;
    rc = kept_put(&command->txn, batch);
    if (rc == 0)
        rc = add_file_of_batch(command, batch, output);
    if (rc == 0)
        rc = add_file_of_batch(command, batch, errors);
    if (rc == 0)
        command->changed = true;
    return rc;
}

/* -ENOENT: it is not the tenant's. */
static int
batch_seen(struct command *command, const struct kept *owner, struct js_value seen)
{
    struct kept batch;
    struct str id = member_text(seen, "id");
    int rc = kept_get(&command->txn, KEPT_BATCH, id, owner->upstream, owner->tenant_id, &batch);

    if (rc == -ENOENT) {
        batch = *owner;
        batch.kind = KEPT_BATCH;
        batch.id = id;
        batch.input = member_text(seen, "input");
        rc = id.len > 0 && batch.input.len > 0 ? adopt(command, owner, &batch) : -ENOENT;
    }
    if (rc < 0)
        return rc;
    return note_files(command, &batch, member_text(seen, "output"), member_text(seen, "errors"));
}

static int
kept_batches_run(struct command *command)
{
    struct js_value batches, key, value;
    struct kept owner;
    struct js_iter it;
    int rc = 0;

    if (!arg_owner(command, &owner) || !arg_list(command, "batches", &batches))
        return 0;
    jw_key(&command->jw, "own");
    jw_array(&command->jw);
    for (js_iter_init(&it, batches); rc == 0 && js_next(&it, &key, &value);) {
        rc = batch_seen(command, &owner, value);
        jw_bool(&command->jw, rc == 0);
        rc = rc == -ENOENT ? 0 : rc;
    }
    jw_array_end(&command->jw);
    return rc;
}

/* ---- for an operator ---- */

static int
kept_list_run(struct command *command)
{
    uint32_t tenant_id, count = 0;
    struct db_walk walk;
    struct kept kept;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id))
        return 0;
    rc = kept_walk_start(&command->txn, &walk);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "kept");
    jw_array(&command->jw);
    while (count < LIST_MAX && kept_walk_next(&walk, &kept)) {
        if (kept.tenant_id != tenant_id)
            continue;
        count++;
        jw_object(&command->jw);
        write_kept(&command->jw, &kept);
        jw_object_end(&command->jw);
    }
    jw_array_end(&command->jw);
    jw_key_bool(&command->jw, "more", count == LIST_MAX);
    rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

const struct command_def command_kept_defs[] = {
    {.name = "kept.find", .kind = COMMAND_READ, .run = kept_find_run},
    {.name = "kept.own", .kind = COMMAND_READ, .run = kept_own_run},
    {.name = "kept.list", .kind = COMMAND_READ, .run = kept_list_run},
    {.name = "kept.add", .kind = COMMAND_WRITE, .quiet = true, .run = kept_add_run},
    {.name = "kept.drop", .kind = COMMAND_WRITE, .quiet = true, .run = kept_drop_run},
    {.name = "kept.batches", .kind = COMMAND_WRITE, .quiet = true, .run = kept_batches_run},
    {.name = NULL},
};
