/* Operations about alerts and webhooks: what a tenant is told by itself. */
#include "manage/ops.h"

static const char *const kind_values[] = {"budget", "balance", NULL};
static const char *const level_values[] = {"key", "member", "project", "tenant", NULL};
static const char *const event_values[] = {"alert.budget", "alert.balance", NULL};
static const char *const state_values[] = {"pending", "done", "failed", NULL};

static const struct op_refusal too_many[] = {{409, "too_many"}, {0, NULL}};
static const struct op_refusal turned_off[] = {{409, "disabled"}, {0, NULL}};

static const struct field alert_path[] = {
    {"id", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "The alert's number."},
    {NULL},
};
static const struct field webhook_path[] = {
    {"id", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "The webhook's number."},
    {NULL},
};
static const struct field delivery_path[] = {
    {"id", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "The delivery's number."},
    {NULL},
};

/* ---- alerts ---- */

static const struct field alert_create[] = {
    {"kind", .type = FIELD_ENUM, .required = true, .values = kind_values, .example = "\"balance\"",
     .doc = "What it is about: shares of budgets, or a low balance."},
    {"level", .type = FIELD_ENUM, .values = level_values,
     .doc = "Whose budgets; the tenant's own when not said."},
    {"target", .type = FIELD_ID, .doc = "The one key, member or project; each of them when not said."},
    {"shares", .type = FIELD_INTS, .max = 8, .example = "[50, 80, 100]",
     .doc = "Per cent of a budget at which to tell, from 10 to 100. Needed for budgets."},
    {"below", .type = FIELD_CREDITS, .example = "\"20\"", .doc = "The balance below which to tell. Needed for balances."},
    {"emails", .type = FIELD_STRINGS, .max = 10, .example = "[\"ops@example.org\"]",
     .doc = "Whom to tell by mail; the tenant's owners and billing members when there is none."},
    {"mail", .type = FIELD_BOOL, .doc = "Tells by mail; true when not said."},
    {"webhooks", .type = FIELD_BOOL, .doc = "Tells the tenant's webhooks; true when not said."},
    {"disabled", .type = FIELD_BOOL, .doc = "Tells nobody for now."},
    {"name", .type = FIELD_STRING, .max = 96, .example = "\"low\"", .doc = "What people call it."},
    {NULL},
};
static const struct field alert_change[] = {
    {"shares", .type = FIELD_INTS, .max = 8, .doc = "Per cent of a budget at which to tell, from 10 to 100."},
    {"below", .type = FIELD_CREDITS, .doc = "The balance below which to tell."},
    {"emails", .type = FIELD_STRINGS, .max = 10, .doc = "Whom to tell by mail; none: owners and billing members."},
    {"mail", .type = FIELD_BOOL, .doc = "Tells by mail."},
    {"webhooks", .type = FIELD_BOOL, .doc = "Tells the tenant's webhooks."},
    {"disabled", .type = FIELD_BOOL, .example = "true", .doc = "Tells nobody for now."},
    {"name", .type = FIELD_STRING, .max = 96, .doc = "What people call it."},
    {NULL},
};
static const struct field alert_members[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"tenant", .type = FIELD_ID, .doc = "Whose it is."},
    {"name", .type = FIELD_STRING, .doc = "What people call it."},
    {"kind", .type = FIELD_ENUM, .values = kind_values, .doc = "What it is about."},
    {"level", .type = FIELD_ENUM, .values = level_values, .nullable = true, .doc = "Whose budgets."},
    {"target", .type = FIELD_ID, .nullable = true, .doc = "The one key, member or project; null: each."},
    {"shares", .type = FIELD_INTS, .doc = "Per cent of a budget at which to tell, rising."},
    {"below", .type = FIELD_CREDITS, .nullable = true, .doc = "The balance below which to tell."},
    {"emails", .type = FIELD_STRINGS, .doc = "Whom to tell by mail; none: owners and billing members."},
    {"mail", .type = FIELD_BOOL, .doc = "Tells by mail."},
    {"webhooks", .type = FIELD_BOOL, .doc = "Tells the tenant's webhooks."},
    {"disabled", .type = FIELD_BOOL, .doc = "Tells nobody for now."},
    {"created", .type = FIELD_TIME, .doc = "When it was made."},
    {NULL},
};
static const struct field alerts_members[] = {
    {"alerts", .type = FIELD_OBJECTS, .ref = "Alert", .doc = "All of them."},
    {NULL},
};

/* ---- webhooks ---- */

static const struct field webhook_create[] = {
    {"url", .type = FIELD_STRING, .required = true, .min = 1, .max = 2048, .example = "\"https://hooks.example.org/t\"",
     .doc = "Where events are sent, by POST: https://, at a public address."},
    {"events", .type = FIELD_STRINGS, .values = event_values, .max = 8, .doc = "Which events; all when there is none."},
    {"disabled", .type = FIELD_BOOL, .doc = "Gets nothing for now."},
    {NULL},
};
static const struct field webhook_change[] = {
    {"url", .type = FIELD_STRING, .min = 1, .max = 2048, .doc = "Where events are sent."},
    {"events", .type = FIELD_STRINGS, .values = event_values, .max = 8, .doc = "Which events; all when there is none."},
    {"disabled", .type = FIELD_BOOL, .example = "false", .doc = "Gets nothing for now."},
    {NULL},
};
#define WEBHOOK_MEMBERS                                                                                       \
    {"id", .type = FIELD_ID, .doc = "Its number."}, {"tenant", .type = FIELD_ID, .doc = "Whose it is."},       \
        {"url", .type = FIELD_STRING, .doc = "Where events are sent."},                                       \
        {"events", .type = FIELD_STRINGS, .doc = "Which events; none: all."},                                 \
        {"disabled", .type = FIELD_BOOL, .doc = "It gets nothing for now."},                                  \
        {"reason", .type = FIELD_STRING, .nullable = true,                                                    \
         .doc = "Why it was turned off by itself: failing, or null."},                                        \
        {"created", .type = FIELD_TIME, .doc = "When it was made."},                                          \
    {                                                                                                         \
        "failing_since", .type = FIELD_TIME, .nullable = true,                                                \
        .doc = "Since when nothing came through; null: it works."                                             \
    }
static const struct field webhook_members[] = {
    WEBHOOK_MEMBERS,
    {NULL},
};
static const struct field webhook_secret_members[] = {
    WEBHOOK_MEMBERS,
    {"secret", .type = FIELD_SECRET, .optional = true,
     .doc = "What events are signed with, told this one time; a repeated request is answered without it."},
    {"old_until", .type = FIELD_TIME, .optional = true, .doc = "Until when the secret before this signs, too."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};
static const struct field webhooks_members[] = {
    {"webhooks", .type = FIELD_OBJECTS, .ref = "Webhook", .doc = "All of them."},
    {NULL},
};
static const struct field tested_members[] = {
    {"delivery", .type = FIELD_ID, .doc = "The delivery's number."},
    {NULL},
};

/* ---- deliveries ---- */

static const struct field deliveries_query[] = {
    {"webhook", IN_QUERY, FIELD_ID, .doc = "Of one webhook only."},
    {"limit", IN_QUERY, FIELD_INT, .min = 1, .max = 100, .doc = "How many; 50 when not said."},
    {"cursor", IN_QUERY, FIELD_ID, .doc = "Where the page before this ended: its next."},
    {NULL},
};
static const struct field try_members[] = {
    {"time", .type = FIELD_TIME, .doc = "When."},
    {"status", .type = FIELD_INT, .doc = "Of the answer; 0: there was none."},
    {"ms", .type = FIELD_INT, .doc = "How long it took."},
    {"why", .type = FIELD_STRING, .doc = "Why it failed; empty when it did not."},
    {NULL},
};
#define DELIVERY_MEMBERS                                                                                      \
    {"id", .type = FIELD_ID, .doc = "Its number."}, {"webhook", .type = FIELD_ID, .doc = "Its webhook's."},    \
        {"event", .type = FIELD_STRING, .doc = "What happened."},                                             \
        {"state", .type = FIELD_ENUM, .values = state_values, .doc = "How it stands."},                       \
        {"created", .type = FIELD_TIME, .doc = "When it happened."},                                          \
        {"next_try", .type = FIELD_TIME, .nullable = true, .doc = "When it is tried next; null: it is over."}, \
        {"tries", .type = FIELD_INT, .doc = "How often it was tried."},                                       \
    {                                                                                                         \
        "log", .type = FIELD_OBJECTS, .members = try_members, .doc = "The last tries."                        \
    }
static const struct field delivery_members[] = {
    DELIVERY_MEMBERS,
    {NULL},
};
static const struct field delivery_whole_members[] = {
    DELIVERY_MEMBERS,
    {"body", .type = FIELD_STRING, .doc = "What is sent, byte for byte."},
    {NULL},
};
static const struct field deliveries_members[] = {
    {"deliveries", .type = FIELD_OBJECTS, .ref = "Delivery", .doc = "Those of this page, the newest first."},
    {"next", .type = FIELD_ID, .nullable = true, .doc = "The next page's cursor; null: this is the last."},
    {NULL},
};

const struct schema schemas_alerts[] = {
    {"Alert", "A rule: when the tenant is to be told of its money.", alert_members},
    {"AlertList", "Alerts of the tenant.", alerts_members},
    {"Webhook", "An address that is told what happens.", webhook_members},
    {"WebhookSecret", "A webhook, with its secret.", webhook_secret_members},
    {"WebhookList", "Webhooks of the tenant.", webhooks_members},
    {"WebhookTest", "An event that was asked for.", tested_members},
    {"Delivery", "An event on its way to a webhook.", delivery_members},
    {"DeliveryWhole", "An event on its way, and what it says.", delivery_whole_members},
    {"DeliveryList", "Events on their way to webhooks.", deliveries_members},
    {NULL},
};

#define ROW(name, verb, where) .id = name, .method = verb, .path = "/api/v1/" where, .scopes = SCOPE_MANAGE
#define READ .perm = PERM_ALERTS_READ
#define WRITE .perm = PERM_ALERTS_WRITE

const struct op ops_alerts[] = {
    {ROW("alerts.list", "GET", "alerts"), READ, .result = "AlertList", .command = "alert.list",
     .doc = "The tenant's alerts."},
    {ROW("alerts.create", "POST", "alerts"), WRITE, .body = alert_create, .result = "Alert", .status = 201,
     .refusals = too_many, .command = "alert.add",
     .doc = "Makes an alert. It tells once for a threshold and window of the budget; of a low balance once until it was "
            "higher again."},
    {ROW("alerts.show", "GET", "alerts/{id}"), READ, .params = alert_path, .result = "Alert",
     .command = "alert.show", .doc = "One alert."},
    {ROW("alerts.set", "PATCH", "alerts/{id}"), WRITE, .params = alert_path, .body = alert_change,
     .result = "Alert", .command = "alert.set", .doc = "Changes an alert. What it watches stays."},
    {ROW("alerts.delete", "DELETE", "alerts/{id}"), WRITE, .params = alert_path, .status = 204,
     .command = "alert.remove", .doc = "Removes an alert."},
    {ROW("webhooks.list", "GET", "webhooks"), READ, .result = "WebhookList", .command = "webhook.list",
     .doc = "The tenant's webhooks."},
    {ROW("webhooks.create", "POST", "webhooks"), WRITE, .body = webhook_create, .result = "WebhookSecret",
     .status = 201, .refusals = too_many, .command = "webhook.add",
     .doc = "Makes a webhook. Its secret is in the answer, and never again."},
    {ROW("webhooks.show", "GET", "webhooks/{id}"), READ, .params = webhook_path, .result = "Webhook",
     .command = "webhook.show", .doc = "One webhook."},
    {ROW("webhooks.set", "PATCH", "webhooks/{id}"), WRITE, .params = webhook_path, .body = webhook_change,
     .result = "Webhook", .command = "webhook.set",
     .doc = "Changes a webhook. One that was turned off since it failed is turned on by disabled: false."},
    {ROW("webhooks.delete", "DELETE", "webhooks/{id}"), WRITE, .params = webhook_path, .status = 204,
     .command = "webhook.remove", .doc = "Removes a webhook. What waits for it is not sent any more."},
    {ROW("webhooks.rotate_secret", "POST", "webhooks/{id}/rotate-secret"), WRITE, .params = webhook_path,
     .result = "WebhookSecret", .command = "webhook.rotate_secret",
     .doc = "Gives a webhook a new secret. The old one signs beside it for a day."},
    {ROW("webhooks.test", "POST", "webhooks/{id}/test"), WRITE, .params = webhook_path, .result = "WebhookTest",
     .status = 202, .refusals = turned_off, .command = "webhook.test", .doc = "Sends the event ping to a webhook."},
    {ROW("deliveries.list", "GET", "deliveries"), READ, .params = deliveries_query, .result = "DeliveryList",
     .command = "delivery.list", .doc = "Events on their way to webhooks, and of the last month."},
    {ROW("deliveries.show", "GET", "deliveries/{id}"), READ, .params = delivery_path, .result = "DeliveryWhole",
     .command = "delivery.show", .doc = "One delivery, with what is sent."},
    {ROW("deliveries.resend", "POST", "deliveries/{id}/resend"), WRITE, .params = delivery_path,
     .result = "Delivery", .refusals = turned_off, .command = "delivery.resend",
     .doc = "Sends an event again, at once and for another day."},
    {NULL},
};
