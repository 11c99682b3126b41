#include "ledger/deed.h"

#include "base/js.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/command.h"
#include "ledger/core.h"

#include <stdio.h>

#define REQUEST_BYTES_MAX 8192

static void
write_actor(struct jw *jw, const struct command_actor *actor)
{
    jw_key(jw, "actor");
    jw_object(jw);
    jw_key_cstr(jw, "kind", command_actor_kind_name[actor->kind]);
    jw_key_u64(jw, "id", actor->id);
    jw_key_str(jw, "name", actor->name);
    jw_key_str(jw, "ip", actor->ip);
    jw_key_str(jw, "request", actor->request);
    jw_object_end(jw);
}

static void
begin(struct buf *request, struct jw *jw, const char *cmd)
{
    buf_init(request, REQUEST_BYTES_MAX);
    jw_init(jw, request);
    jw_object(jw);
    jw_key_cstr(jw, "cmd", cmd);
    jw_key(jw, "args");
    jw_object(jw);
}

static int
end(struct ledger *ledger, struct buf *request, struct jw *jw, const struct command_actor *actor)
{
    struct buf answer;
    int rc;

    jw_object_end(jw);
    write_actor(jw, actor);
    jw_object_end(jw);
    buf_init(&answer, REQUEST_BYTES_MAX);
    rc = command_run(ledger, buf_str(request), "system", &answer);
    if (rc == 0 && !str_starts_with(buf_str(&answer), STR("{\"ok\":true")))
        log_warn("audit-log.untold", "answer=%s", log_quote(buf_str(&answer)));
    buf_free(&answer);
    buf_free(request);
    return rc;
}

int
deed_reload(struct ledger *ledger, const struct command_actor *asker, uint32_t generation)
{
    const struct command_actor hangup = {.kind = ACTOR_SYSTEM, .name = STR("SIGHUP")};
    struct buf request;
    char version[24];
    struct jw jw;

    begin(&request, &jw, "server.reload");
    jw_key_u64(&jw, "generation", generation);
    snprintf(version, sizeof(version), "%016llx",
             (unsigned long long)(ledger->conf != NULL ? ledger->conf->price_version : 0));
    jw_key_cstr(&jw, "price_version", version);
    return end(ledger, &request, &jw, asker != NULL ? asker : &hangup);
}

int
deed_upgrade(struct ledger *ledger, struct str said)
{
    struct command_actor actor = {.kind = ACTOR_SYSTEM, .name = STR("SIGUSR2")};
    struct js_value object, uid;
    struct buf request;
    char name[32];
    struct js_error err;
    struct jw jw;

    if (!js_check(said, &object, &err))
        return 0;
    uid = js_get(object, STR("uid"));
    if (js_count(uid, UINT32_MAX, &actor.id)) {
        actor.kind = ACTOR_CLI;
        actor.name = (struct str){name, (size_t)snprintf(name, sizeof(name), "uid %llu",
                                                         (unsigned long long)actor.id)};
    }
    begin(&request, &jw, "server.upgrade");
    jw_key_js(&jw, "from", js_get(object, STR("from")));
    jw_key_js(&jw, "to", js_get(object, STR("to")));
    jw_key_js(&jw, "generation", js_get(object, STR("generation")));
    return end(ledger, &request, &jw, &actor);
}
