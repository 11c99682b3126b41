#include "cli/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/client.h"
#include "cli/help.h"
#include "cli/init_show.h"
#include "cli/local.h"
#include "conf/conf.h"

#define TEXT_BYTES_MAX (1u << 20)

static enum cli_exit
refuse(const char *flag, const char *why, const char *hint)
{
    return complain(CLI_USAGE, flag, why, hint);
}

/* ---- options ---- */

static enum cli_exit
take_makers(const struct cli_local *local, struct init_plan *plan)
{
    const struct cli_given *given = local_values(local, "provider");

    for (unsigned i = 0; i < given->count; i++) {
        struct str rest = str_from(given->at[i]);

        while (rest.ptr != NULL) {
            struct str name = str_trim(str_split(rest, ',', &rest));
            const char *hint = NULL, *why = init_add_maker(plan, name, &hint);
            char what[64];

            snprintf(what, sizeof(what), "--provider %.40s", name.len > 0 ? name.ptr : "");
            if (why != NULL)
                return refuse(what, why, hint);
        }
    }
    return CLI_DONE;
}

/* "PROVIDER=VALUE" names whose it is; where there is one provider, it is its. */
static struct init_source *
source_of(struct init_plan *plan, const char *text, struct str *value)
{
    struct str rest, name = str_split(str_from(text), '=', &rest);
    const struct init_maker *maker = rest.ptr != NULL ? init_maker_of(name) : NULL;

    *value = maker != NULL ? rest : str_from(text);
    if (maker == NULL)
        return plan->source_count == 1 ? &plan->source[0] : NULL;
    for (unsigned i = 0; i < plan->source_count; i++)
        if (plan->source[i].maker == maker)
            return &plan->source[i];
    return NULL;
}

static enum cli_exit
take_keys(const struct cli_local *local, struct init_plan *plan, const char *flag, const char *name,
          const char *(*set)(struct init_source *, struct str, const char **))
{
    const struct cli_given *given = local_values(local, name);

    for (unsigned i = 0; i < given->count; i++) {
        const char *hint = NULL, *why;
        struct init_source *source;
        struct str value;

        source = source_of(plan, given->at[i], &value);
        if (source == NULL)
            return refuse(flag, "it does not say whose key that is",
                          "as PROVIDER=… with one of those named by --provider");
        if (source->maker->key_env == NULL)
            return refuse(flag, "this provider takes no key", NULL);
        if (source->key_env[0] != '\0' || source->key_file[0] != '\0')
            return refuse(flag, "the provider has its key already", "name one place for each");
        why = set(source, value, &hint);
        if (why != NULL)
            return refuse(flag, why, hint);
    }
    return CLI_DONE;
}

static enum cli_exit
take_rest(const struct cli_local *local, struct init_plan *plan)
{
    static const struct {
        const char *flag, *name;
        const char *(*set)(struct init_plan *, struct str, const char **);
    } texts[] = {
        {"--listen", "listen", init_set_listen},
        {"--tenant", "tenant", init_set_tenant},
        {"--credit", "credit", init_set_credit},
        {"--admin", "admin", init_set_admin},
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *value = local_value(local, texts[i].name), *hint = NULL, *why;

        why = value != NULL ? texts[i].set(plan, str_from(value), &hint) : NULL;
        if (why != NULL)
            return refuse(texts[i].flag, why, hint);
    }
    if (local_value(local, "no_tenant") != NULL &&
        (plan->tenant[0] != '\0' || local_value(local, "credit") != NULL))
        return refuse("--no-tenant", "it contradicts --tenant and --credit", NULL);
    return CLI_DONE;
}

static enum cli_exit
take_paths(const struct cli_local *local, struct init_plan *plan)
{
    const char *path = local_value(local, "config");

    path = path != NULL ? path : "routes.conf";
    if (path[0] == '\0' || strlen(path) >= sizeof(plan->conf_path) - sizeof(".XXXXXX"))
        return refuse("-c", "this is no path of a file", NULL);
    if (strlen(local->state_dir) >= sizeof(plan->state_dir))
        return refuse("-s", "the path is too long", NULL);
    str_copy(str_from(path), plan->conf_path, sizeof(plan->conf_path));
    str_copy(str_from(local->state_dir), plan->state_dir, sizeof(plan->state_dir));
    return CLI_DONE;
}

static enum cli_exit
options_take(const struct cli_local *local, struct init_plan *plan)
{
    enum cli_exit rc = take_paths(local, plan);

    if (rc == CLI_DONE)
        rc = take_makers(local, plan);
    if (rc == CLI_DONE)
        rc = take_keys(local, plan, "--key-env", "key_env", init_set_env);
    if (rc == CLI_DONE)
        rc = take_keys(local, plan, "--key-file", "key_file", init_set_file);
    return rc == CLI_DONE ? take_rest(local, plan) : rc;
}

/* What nobody was asked. */
static void
plan_defaults(struct init_plan *plan, bool no_tenant, bool credit_given)
{
    for (unsigned i = 0; i < plan->source_count; i++) {
        struct init_source *source = &plan->source[i];

        if (source->maker->key_env != NULL && source->key_env[0] == '\0' &&
            source->key_file[0] == '\0')
            str_copy(str_from(source->maker->key_env), source->key_env, sizeof(source->key_env));
    }
    if (plan->listen[0] == '\0')
        str_copy(STR("127.0.0.1:8080"), plan->listen, sizeof(plan->listen));
    if (no_tenant || plan->tenant[0] != '\0')
        return;
    str_copy(STR("me"), plan->tenant, sizeof(plan->tenant));
    if (!credit_given)
        str_copy(STR("10"), plan->credit, sizeof(plan->credit));
}

static enum cli_exit
plan_make(const struct cli_local *local, struct init_plan *plan)
{
    bool no_tenant = local_value(local, "no_tenant") != NULL;
    bool asks = isatty(STDIN_FILENO) && plan->source_count == 0;
    enum cli_exit rc;

    if (plan->source_count == 0 && !asks)
        return complain(CLI_USAGE, "--provider", "it is missing, and there is no terminal to ask on",
                        init_maker_names());
    if (asks) {
        bool ask_state = strcmp(plan->state_dir, STATE_DEFAULT) == 0 &&
                         access(plan->state_dir, W_OK) != 0 && geteuid() != 0;

        if (ask_state)
            str_copy(STR("./state"), plan->state_dir, sizeof(plan->state_dir));
        if (no_tenant) /* not asked for: taken out again below */
            str_copy(STR("-"), plan->tenant, sizeof(plan->tenant));
        rc = init_ask(plan, ask_state);
        if (rc != CLI_DONE)
            return rc;
        if (no_tenant)
            plan->tenant[0] = '\0';
    }
    plan_defaults(plan, no_tenant, local_value(local, "credit") != NULL);
    return CLI_DONE;
}

/* ---- the file ---- */

static enum cli_exit
file_failed(const char *path, int error)
{
    return complain(error == EACCES || error == EPERM || error == EROFS ? CLI_NOT_ALLOWED : CLI_FAILED,
                    path, strerror(error),
                    error == ENOENT ? "make the folder first, or name another file with -c"
                                    : "name another file with -c");
}

static enum cli_exit
file_is_there(const char *path)
{
    return complain(CLI_FAILED, path, "it is there already",
                    "--force writes over it, -c FILE names another");
}

static int
write_all(int fd, struct str text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        text.ptr += n;
        text.len -= (size_t)n;
    }
    return fsync(fd) != 0 ? errno : 0;
}

/* Writes it under the name `temp`, a template of mkstemp(). */
static enum cli_exit
draft_write(const struct init_plan *plan, char *temp)
{
    mode_t mask = umask(0);
    struct buf text;
    int fd, error;

    (void)umask(mask);
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return file_failed(plan->conf_path, errno);
    buf_init(&text, TEXT_BYTES_MAX);
    init_text(&text, plan);
    error = text.failed ? ENOMEM : write_all(fd, buf_str(&text));
    if (error == 0 && fchmod(fd, 0644 & ~mask) != 0) /* there is no secret in it */
        error = errno;
    buf_free(&text);
    close(fd);
    if (error == 0)
        return CLI_DONE;
    (void)unlink(temp);
    return file_failed(plan->conf_path, error);
}

/* As `turnpike check` looks at it; how many models there are. */
static enum cli_exit
draft_check(const struct init_plan *plan, const char *temp, struct init_made *made)
{
    struct conf_faults faults;
    struct conf *conf = conf_load(temp, &faults);
    enum cli_exit rc = conf != NULL ? CLI_DONE : CLI_BAD_CONF;

    if (conf == NULL)
        for (size_t i = 0; i < faults.count; i++)
            if (!faults.at[i].warning)
                (void)complain(rc, plan->conf_path, faults.at[i].message, NULL);
    if (conf != NULL)
        made->model_count = conf->model_count;
    conf_faults_free(&faults);
    conf_free(&conf);
    return rc;
}

static enum cli_exit
draft_name(const struct init_plan *plan, const char *temp, bool force)
{
    if (force)
        return rename(temp, plan->conf_path) == 0 ? CLI_DONE : file_failed(plan->conf_path, errno);
    if (link(temp, plan->conf_path) != 0)
        return errno == EEXIST ? file_is_there(plan->conf_path) : file_failed(plan->conf_path, errno);
    (void)unlink(temp);
    return CLI_DONE;
}

/* ---- tenant and key ---- */

/* The result's text at `name` goes to out; false when the ledger refused, and it was said why. */
static enum cli_exit
ask_for(const struct init_plan *plan, struct str request, const char *name, char *out, size_t cap)
{
    const struct ask_of of = {.state_dir = plan->state_dir, .noun = "init", .makes_dir = true};
    struct js_value answer, value;
    struct js_error err;
    struct buf bytes;
    enum cli_exit rc = ask_ledger(&of, request, &bytes);

    if (rc == CLI_DONE && !js_check(buf_str(&bytes), &answer, &err))
        rc = complain(CLI_FAILED, "init", "the ledger's answer cannot be read", NULL);
    else if (rc == CLI_DONE && !js_bool(js_get(answer, STR("ok")), false))
        rc = init_show_refusal(answer);
    if (rc == CLI_DONE) {
        value = js_path(answer, "result", name, NULL);
        print_value(value, out, cap);
    }
    ask_forget(&bytes);
    return rc;
}

static void
request_begin(struct jw *jw, struct buf *buf, const char *cmd)
{
    buf_init(buf, 8192);
    jw_init(jw, buf);
    jw_object(jw);
    jw_key_cstr(jw, "cmd", cmd);
    jw_key(jw, "args");
    jw_object(jw);
}

static enum cli_exit
tenant_make(const struct init_plan *plan, struct init_made *made)
{
    struct buf request;
    enum cli_exit rc;
    struct jw jw;

    request_begin(&jw, &request, "tenant.add");
    jw_key_cstr(&jw, "name", plan->tenant);
    if (plan->credit[0] != '\0')
        jw_key_cstr(&jw, "credit", plan->credit);
    jw_object_end(&jw);
    jw_object_end(&jw);
    rc = ask_for(plan, buf_str(&request), "id", made->tenant_id, sizeof(made->tenant_id));
    buf_free(&request);
    if (rc != CLI_DONE)
        return rc;

    request_begin(&jw, &request, "key.add");
    jw_key_cstr(&jw, "tenant", plan->tenant);
    jw_key_cstr(&jw, "name", "first");
    jw_object_end(&jw);
    jw_object_end(&jw);
    rc = ask_for(plan, buf_str(&request), "key", made->key, sizeof(made->key));
    buf_free(&request);
    return rc;
}

static enum cli_exit
admin_make(const struct init_plan *plan, struct init_made *made)
{
    struct buf request;
    enum cli_exit rc;
    struct jw jw;

    request_begin(&jw, &request, "admin.add");
    jw_key_cstr(&jw, "email", plan->admin);
    jw_object_end(&jw);
    jw_object_end(&jw);
    rc = ask_for(plan, buf_str(&request), "token", made->setup, sizeof(made->setup));
    buf_free(&request);
    return rc;
}

/* ---- all of it ---- */

/* From here on nothing is asked, and what was begun is finished: a signal waits for the end. */
static enum cli_exit
plan_carry_out(const struct init_plan *plan, bool force, struct init_made *made)
{
    char temp[INIT_TEXT_MAX + 8];
    sigset_t late, before;
    enum cli_exit rc;

    snprintf(temp, sizeof(temp), "%s.XXXXXX", plan->conf_path);
    sigemptyset(&late);
    sigaddset(&late, SIGINT);
    sigaddset(&late, SIGTERM);
    sigaddset(&late, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &late, &before);
    rc = draft_write(plan, temp);
    if (rc == CLI_DONE) {
        rc = draft_check(plan, temp, made);
        if (rc == CLI_DONE && plan->tenant[0] != '\0')
            rc = tenant_make(plan, made);
        if (rc == CLI_DONE && plan->admin[0] != '\0')
            rc = admin_make(plan, made);
        if (rc == CLI_DONE)
            rc = draft_name(plan, temp, force);
        if (rc != CLI_DONE)
            (void)unlink(temp);
    }
    if (rc == CLI_DONE)
        init_show_made(plan, made);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static bool
server_runs(const char *state_dir)
{
    int fd = client_connect(state_dir);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

enum cli_exit
init_run(const struct cli_local *local)
{
    struct init_made made = {.json = local->json};
    bool force = local_value(local, "force") != NULL;
    struct init_plan plan = {.source_count = 0};
    struct stat st;
    enum cli_exit rc = options_take(local, &plan);

    if (rc == CLI_DONE && !force && lstat(plan.conf_path, &st) == 0)
        rc = file_is_there(plan.conf_path);
    if (rc == CLI_DONE)
        rc = plan_make(local, &plan);
    if (rc != CLI_DONE)
        return rc;
    made.server_runs = server_runs(plan.state_dir);
    rc = plan_carry_out(&plan, force, &made);
    explicit_bzero(&made, sizeof(made));
    return rc;
}
