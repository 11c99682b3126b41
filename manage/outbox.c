#include "manage/outbox.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "manage/curl.h"
#include "manage/ledger_client.h"
#include "manage/mail.h"
#include "manage/manage.h"
#include "manage/webhook_sign.h"
#include "net/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 250u
#define THREADS_EACH 4u
#define TAKE_MAX 4u  /* of each kind, under way at a time */
#define NICE_ADD 5
#define SAY_US UINT64_C(60000000) /* of what goes on: once in so long */
#define ITEM_BYTES_MAX (1u << 20)

enum lane_kind { LANE_MAIL = 0, LANE_WEBHOOK, LANE_COUNT };

struct lane;
struct item {
    struct crew_job job;
    struct lane *lane;
    uint64_t id;
    struct arena arena; /* all that the thread reads */
    /* Mail. */
    struct str to, message;
    /* An event. */
    struct str url, event, body, secret, old_secret;
    /* How it went. */
    bool good, for_good;
    unsigned status;
    uint32_t ms;
    char why[160];
};

struct lane {
    struct outbox *outbox;
    enum lane_kind kind;
    struct crew *crew;
    bool asking;
    unsigned flying; /* items that were taken and not told of */
    uint64_t say_us;
};

struct outbox {
    struct manage *manage;
    struct ledger_client *ledger;
    struct lane lanes[LANE_COUNT];
    struct wheel_timer tick;
};

static const char *const list_name[] = {[LANE_MAIL] = "mails", [LANE_WEBHOOK] = "deliveries"};
static const char *const cmd_prefix[] = {[LANE_MAIL] = "mail", [LANE_WEBHOOK] = "delivery"};

static void lane_ask(struct lane *lane);

/* ---- what keeps a process that drains ---- */

static void
busy(struct outbox *outbox)
{
    outbox->manage->work_count++;
}

static void
idle(struct outbox *outbox)
{
    outbox->manage->work_count--;
    manage_maybe_done(outbox->manage);
}

/* ---- one item ---- */

static void
item_free(struct item *item)
{
    struct str *const secret[] = {&item->message, &item->secret, &item->old_secret};

    for (size_t i = 0; i < COUNT_OF(secret); i++)
        if (secret[i]->len > 0)
            explicit_bzero((void *)(uintptr_t)secret[i]->ptr, secret[i]->len);
    arena_end(&item->arena);
    free(item);
}

/* A member's text, in the item's memory; NUL-terminated. */
static struct str
text_of(struct item *item, struct js_value object, const char *name)
{
    struct js_value value = js_get(object, str_from(name));
    char *room = js_is(value, JS_STRING) ? arena_alloc(&item->arena, value.raw.len + 1) : NULL;
    struct str text;

    if (room == NULL)
        return STR_NONE;
    text = js_unescape(value, room, value.raw.len + 1);
    if (text.ptr != room)
        memcpy(room, text.ptr, text.len);
    room[text.len] = '\0';
    return (struct str){room, text.len};
}

/* False: it cannot be made now. */
static bool
mail_make(struct item *item, struct js_value mail)
{
    const struct conf_mail *conf = &item->lane->outbox->manage->conf->mail;
    struct mail_head head = {.id = item->id, .wall_us = clock_wall_us()};
    struct mail_text text;
    struct buf message;
    bool ok;

    item->to = head.to = text_of(item, mail, "to");
    if (!js_i64(js_get(mail, STR("created_us")), &head.created_us))
        return false;
    head.language = mail_language(text_of(item, mail, "locale"), (enum conf_language)conf->language);
    ok = mail_template_fill(text_of(item, mail, "template"), head.language, js_get(mail, STR("vars")), &text);
    buf_init(&message, ITEM_BYTES_MAX / 2);
    ok = ok && mail_message(conf, &head, &text, &message);
    if (ok) {
        item->message = (struct str){arena_copy(&item->arena, buf_str(&message)), message.len};
        ok = item->message.ptr != NULL;
    }
    mail_text_free(&text);
    if (message.ptr != NULL)
        explicit_bzero(message.ptr, message.cap);
    buf_free(&message);
    return ok;
}

static bool
event_make(struct item *item, struct js_value delivery)
{
    item->url = text_of(item, delivery, "url");
    item->event = text_of(item, delivery, "event");
    item->body = text_of(item, delivery, "body");
    item->secret = text_of(item, delivery, "secret");
    item->old_secret = text_of(item, delivery, "old_secret");
    return item->url.ptr != NULL && item->event.ptr != NULL && item->body.ptr != NULL && item->secret.len > 0;
}

/* On a thread. */
static void
mail_work(struct crew_job *job)
{
    struct item *item = CONTAINER_OF(job, struct item, job);
    enum mail_sent sent = mail_send(&item->lane->outbox->manage->conf->mail, item->to, item->message,
                                    item->why, sizeof(item->why));

    item->good = sent == MAIL_SENT;
    item->for_good = sent == MAIL_NEVER;
}

/* On a thread. A redirect is a failure: the address that was given is the one that is told. */
static void
event_work(struct crew_job *job)
{
    struct item *item = CONTAINER_OF(job, struct item, job);
    const struct conf_service_at *conf = &item->lane->outbox->manage->conf->webhooks;
    char signature[WEBHOOK_HEADER_MAX], event[64], delivery[48];
    struct fetch fetch = {.url = item->url.ptr,
                          .local = conf->local,
                          .ca_file = conf->ca_file.ptr,
                          .timeout_ms = conf->timeout_ms,
                          .post = true,
                          .body = item->body,
                          .headers = {"content-type: application/json", "accept:", "expect:", signature, event,
                                      delivery}};

    webhook_sign(item->secret, item->old_secret, clock_wall_us() / 1000000, item->body, signature);
    snprintf(event, sizeof(event), "turnpike-event: %.40s", item->event.ptr);
    snprintf(delivery, sizeof(delivery), "turnpike-delivery: %llu", (unsigned long long)item->id);
    if (fetch_run(&fetch) < 0)
        snprintf(item->why, sizeof(item->why), "%s", fetch.why);
    else if (fetch.status < 200 || fetch.status > 299)
        snprintf(item->why, sizeof(item->why), "status %u", fetch.status);
    else
        item->good = true;
    item->status = fetch.status;
    item->ms = fetch.took_ms;
    fetch_free(&fetch);
}

/* ---- how it went ---- */

static void
told(void *arg, const struct ledger_answer *answer)
{
    struct lane *lane = arg;
    struct outbox *outbox = lane->outbox;

    (void)answer; /* not heard: it is handed out again when the lease is over */
    lane->flying--;
    lane_ask(lane);
    idle(outbox);
}

static void
tell(struct item *item)
{
    struct lane *lane = item->lane;
    struct buf line;
    struct ledger_question question = {.request = &line, .again = true, .answered = told, .arg = lane};
    char cmd[32];
    struct jw jw;

    snprintf(cmd, sizeof(cmd), "%s.%s", cmd_prefix[lane->kind], item->good ? "done" : "failed");
    buf_init(&line, 8192);
    jw_init(&jw, &line);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", cmd);
    jw_key(&jw, "args");
    jw_object(&jw);
    jw_key_u64(&jw, "id", item->id);
    if (lane->kind == LANE_WEBHOOK) {
        jw_key_u64(&jw, "status", item->status);
        jw_key_u64(&jw, "ms", item->ms);
    } else if (!item->good) {
        jw_key_bool(&jw, "for_good", item->for_good);
    }
    if (!item->good)
        jw_key_cstr(&jw, "why", item->why);
    jw_object_end(&jw);
    jw_object_end(&jw);
    buf_add_char(&line, '\n');
    if (line.failed || ledger_client_ask(lane->outbox->ledger, &question) == NULL) {
        buf_free(&line);
        told(lane, NULL);
    }
}

static void
item_done(struct crew_job *job)
{
    struct item *item = CONTAINER_OF(job, struct item, job);
    struct lane *lane = item->lane;
    uint64_t now_us = clock_mono_us();

    /* What a webhook's receiver does is told its tenant; a mail server is the operator's own. */
    if (!item->good && lane->kind == LANE_MAIL && now_us >= lane->say_us) {
        lane->say_us = now_us + SAY_US;
        log_warn("mail.failed", "id=%llu why=%s", (unsigned long long)item->id,
                 log_quote(str_from(item->why)));
    }
    tell(item);
    item_free(item);
}

/* ---- taking what is due ---- */

static void
take(struct lane *lane, struct js_value value)
{
    struct item *item = calloc(1, sizeof(*item));
    uint64_t id = 0;

    if (item == NULL || !str_to_u64(js_get(value, STR("id")).raw, &id)) {
        free(item);
        return;
    }
    item->lane = lane;
    item->id = id;
    arena_init(&item->arena, ITEM_BYTES_MAX);
    list_init(&item->job.node);
    item->job.work = lane->kind == LANE_MAIL ? mail_work : event_work;
    item->job.done = item_done;
    lane->flying++;
    busy(lane->outbox);
    if (lane->kind == LANE_MAIL ? mail_make(item, value) : event_make(item, value)) {
        crew_add(lane->crew, &item->job);
        return;
    }
    snprintf(item->why, sizeof(item->why), "it cannot be made");
    item->for_good = true;
    tell(item);
    item_free(item);
}

static void
taken(void *arg, const struct ledger_answer *answer)
{
    struct lane *lane = arg;
    struct js_value name, one;
    struct js_iter it;
    unsigned count = 0;

    lane->asking = false;
    if (answer->said == LEDGER_DONE)
        for (js_iter_init(&it, js_get(answer->result, str_from(list_name[lane->kind])));
             js_next(&it, &name, &one); count++)
            take(lane, one);
    if (count > 0)
        lane_ask(lane); /* there may be more */
    idle(lane->outbox);
}

/* When there is room for more, and anybody to carry it. */
static void
lane_ask(struct lane *lane)
{
    struct manage *manage = lane->outbox->manage;
    struct buf line;
    struct ledger_question question = {.request = &line, .answered = taken, .arg = lane};

    if (lane->asking || manage->draining || lane->flying >= TAKE_MAX ||
        (lane->kind == LANE_MAIL && !manage->conf->mail.on))
        return;
    buf_init(&line, 256);
    buf_add_fmt(&line, "{\"cmd\":\"%s.next\",\"args\":{\"limit\":%u}}\n", cmd_prefix[lane->kind],
                TAKE_MAX - lane->flying);
    lane->asking = true;
    busy(lane->outbox);
    if (line.failed || ledger_client_ask(lane->outbox->ledger, &question) == NULL) {
        buf_free(&line);
        lane->asking = false;
        idle(lane->outbox);
    }
}

static void
on_tick(struct wheel_timer *timer)
{
    struct outbox *outbox = CONTAINER_OF(timer, struct outbox, tick);

    for (int kind = 0; kind < LANE_COUNT; kind++)
        lane_ask(&outbox->lanes[kind]);
    wheel_set(&outbox->manage->net.wheel, &outbox->tick, TICK_MS, on_tick);
}

/* ---- life ---- */

struct outbox *
outbox_new(struct manage *manage)
{
    struct crew_options options = {.threads = THREADS_EACH, .nice_add = NICE_ADD};
    struct outbox *outbox = calloc(1, sizeof(*outbox));

    if (outbox == NULL)
        return NULL;
    outbox->manage = manage;
    outbox->ledger = ledger_client_new(&manage->net, manage->inherit->control_path);
    for (int kind = 0; kind < LANE_COUNT; kind++)
        outbox->lanes[kind] = (struct lane){
            .outbox = outbox, .kind = (enum lane_kind)kind, .crew = crew_new(&manage->net, &options)};
    if (outbox->ledger == NULL || outbox->lanes[LANE_MAIL].crew == NULL ||
        outbox->lanes[LANE_WEBHOOK].crew == NULL)
        return NULL; /* the process ends: nothing of it needs to be given back */
    wheel_set(&manage->net.wheel, &outbox->tick, TICK_MS, on_tick);
    return outbox;
}

void
outbox_end(struct outbox *outbox)
{
    wheel_cancel(&outbox->manage->net.wheel, &outbox->tick);
    ledger_client_end(&outbox->ledger);
    for (int kind = 0; kind < LANE_COUNT; kind++)
        crew_end(outbox->lanes[kind].crew);
}

void
outbox_free(struct outbox **outboxp)
{
    struct outbox *outbox = *outboxp;

    *outboxp = NULL;
    for (int kind = 0; kind < LANE_COUNT; kind++)
        crew_free(outbox->lanes[kind].crew);
    free(outbox);
}
