#include "manage/mail_template.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (256u << 10)
#define VALUE_BYTES_MAX 8192u

enum block_kind { BLOCK_END = 0, BLOCK_TEXT, BLOCK_CODE, BLOCK_LINK };
struct block {
    enum block_kind kind;
    const char *text; /* "{name}" is a value; of a link its label, and the value is {link} */
};
struct letter {
    const char *kind;
    struct {
        const char *subject;
        struct block blocks[8];
    } in[CONF_LANGUAGE_COUNT];
};

#define IGNORE_EN "If this was not you, ignore this message: nothing happens without the code."
#define IGNORE_ZH "如果这不是您本人的操作，请忽略此邮件：没有验证码，什么都不会发生。"
#define MINUTES_EN "It is good for {minutes} minutes. Tell it to nobody."
#define MINUTES_ZH "验证码在 {minutes} 分钟内有效，请勿告诉任何人。"

static const struct letter letters[] = {
    {"verify",
     {[CONF_ENGLISH] = {"Your verification code",
                        {{BLOCK_TEXT, "This code confirms your mail address:"},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_TEXT, MINUTES_EN},
                         {BLOCK_TEXT, IGNORE_EN}}},
      [CONF_CHINESE] = {"您的验证码",
                        {{BLOCK_TEXT, "请用以下验证码确认您的邮箱地址："},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_TEXT, MINUTES_ZH},
                         {BLOCK_TEXT, IGNORE_ZH}}}}},
    {"login",
     {[CONF_ENGLISH] = {"Your sign-in code",
                        {{BLOCK_TEXT, "This code signs you in:"},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_TEXT, MINUTES_EN},
                         {BLOCK_TEXT, "If this was not you, somebody may know your password: change it."}}},
      [CONF_CHINESE] = {"您的登录验证码",
                        {{BLOCK_TEXT, "请用以下验证码登录："},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_TEXT, MINUTES_ZH},
                         {BLOCK_TEXT, "如果这不是您本人的操作，您的密码可能已泄露，请尽快修改。"}}}}},
    {"change-email",
     {[CONF_ENGLISH] = {"Confirm your new mail address",
                        {{BLOCK_TEXT, "This code makes this your account's mail address:"},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_TEXT, MINUTES_EN},
                         {BLOCK_TEXT, IGNORE_EN}}},
      [CONF_CHINESE] = {"确认您的新邮箱地址",
                        {{BLOCK_TEXT, "请用以下验证码将此邮箱设为您的账户邮箱："},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_TEXT, MINUTES_ZH},
                         {BLOCK_TEXT, IGNORE_ZH}}}}},
    {"reset",
     {[CONF_ENGLISH] = {"Reset your password",
                        {{BLOCK_TEXT, "With this code you set a new password:"},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_LINK, "Set a new password"},
                         {BLOCK_TEXT, MINUTES_EN},
                         {BLOCK_TEXT, IGNORE_EN}}},
      [CONF_CHINESE] = {"重置您的密码",
                        {{BLOCK_TEXT, "请用以下验证码设置新密码："},
                         {BLOCK_CODE, "{code}"},
                         {BLOCK_LINK, "设置新密码"},
                         {BLOCK_TEXT, MINUTES_ZH},
                         {BLOCK_TEXT, IGNORE_ZH}}}}},
    {"registered",
     {[CONF_ENGLISH] = {"You already have an account",
                        {{BLOCK_TEXT, "Somebody, probably you, wanted to register with this mail address. "
                                      "It has an account already: sign in, or reset your password if you have "
                                      "forgotten it."},
                         {BLOCK_LINK, "Sign in"},
                         {BLOCK_TEXT, "If this was not you, there is nothing to do."}}},
      [CONF_CHINESE] = {"您已有账户",
                        {{BLOCK_TEXT, "有人（可能是您本人）想用此邮箱注册，但它已有账户。请直接登录；"
                                      "如果忘记了密码，可以重置。"},
                         {BLOCK_LINK, "登录"},
                         {BLOCK_TEXT, "如果这不是您本人的操作，无需理会。"}}}}},
    {"invitation",
     {[CONF_ENGLISH] = {"Invitation to {tenant}",
                        {{BLOCK_TEXT, "{inviter} invites you to join {tenant}, as {role}."},
                         {BLOCK_LINK, "Join"},
                         {BLOCK_TEXT, "The invitation ends at {expires}."},
                         {BLOCK_TEXT, "If you do not know who this is from, ignore this message."}}},
      [CONF_CHINESE] = {"邀请您加入 {tenant}",
                        {{BLOCK_TEXT, "{inviter} 邀请您加入 {tenant}，角色为 {role}。"},
                         {BLOCK_LINK, "加入"},
                         {BLOCK_TEXT, "邀请有效期至 {expires}。"},
                         {BLOCK_TEXT, "如果您不认识邀请人，请忽略此邮件。"}}}}},
    {"alert-budget",
     {[CONF_ENGLISH] = {"{share} % of a budget of {tenant} is used",
                        {{BLOCK_TEXT, "The budget of {level} {name} has reached {share} %: {spent} of {limit} "
                                      "credits are spent."},
                         {BLOCK_TEXT, "The budget's window: {window}."},
                         {BLOCK_TEXT, "Calls are refused once the budget is used up."}}},
      [CONF_CHINESE] = {"{tenant} 的预算已使用 {share}%",
                        {{BLOCK_TEXT, "{level} {name} 的预算已达 {share}%：已用 {spent} / {limit} 额度。"},
                         {BLOCK_TEXT, "预算周期：{window}。"},
                         {BLOCK_TEXT, "预算用尽后，调用将被拒绝。"}}}}},
    {"alert-balance",
     {[CONF_ENGLISH] = {"The balance of {tenant} is low",
                        {{BLOCK_TEXT, "{balance} credits are left, which is below {threshold}."},
                         {BLOCK_TEXT, "Calls are refused once there is no credit."}}},
      [CONF_CHINESE] = {"{tenant} 余额不足",
                        {{BLOCK_TEXT, "剩余 {balance} 额度，已低于 {threshold}。"},
                         {BLOCK_TEXT, "额度用尽后，调用将被拒绝。"}}}}},
    {"approval",
     {[CONF_ENGLISH] = {"{tenant} waits for approval",
                        {{BLOCK_TEXT, "{email} has registered {tenant}, which waits for your approval."},
                         {BLOCK_LINK, "Look at it"}}},
      [CONF_CHINESE] = {"{tenant} 等待审批",
                        {{BLOCK_TEXT, "{email} 注册了 {tenant}，正等待您的审批。"},
                         {BLOCK_LINK, "查看"}}}}},
    {"approved",
     {[CONF_ENGLISH] = {"{tenant} is approved",
                        {{BLOCK_TEXT, "Your registration of {tenant} is approved: you can sign in now."},
                         {BLOCK_LINK, "Sign in"}}},
      [CONF_CHINESE] = {"{tenant} 已通过审批",
                        {{BLOCK_TEXT, "您注册的 {tenant} 已通过审批，现在可以登录。"},
                         {BLOCK_LINK, "登录"}}}}},
    {"refused",
     {[CONF_ENGLISH] = {"{tenant} is not approved",
                        {{BLOCK_TEXT, "Your registration of {tenant} was not approved."},
                         {BLOCK_TEXT, "The reason: {reason}"}}},
      [CONF_CHINESE] = {"{tenant} 未通过审批",
                        {{BLOCK_TEXT, "您注册的 {tenant} 未通过审批。"},
                         {BLOCK_TEXT, "原因：{reason}"}}}}},
    {"password-changed",
     {[CONF_ENGLISH] = {"Your password was changed",
                        {{BLOCK_TEXT, "Your account's password was changed."},
                         {BLOCK_TEXT, "When: {time}"},
                         {BLOCK_TEXT, "From: {ip}"},
                         {BLOCK_TEXT, "If this was not you, reset your password now and tell your administrator."}}},
      [CONF_CHINESE] = {"您的密码已修改",
                        {{BLOCK_TEXT, "您账户的密码已被修改。"},
                         {BLOCK_TEXT, "时间：{time}"},
                         {BLOCK_TEXT, "来自：{ip}"},
                         {BLOCK_TEXT, "如果这不是您本人的操作，请立即重置密码并告知管理员。"}}}}},
    {"email-changed",
     {[CONF_ENGLISH] = {"Your account has another mail address",
                        {{BLOCK_TEXT, "Your account's mail address is now {email}; this one is not any more."},
                         {BLOCK_TEXT, "If this was not you, tell your administrator now."}}},
      [CONF_CHINESE] = {"您的账户邮箱已更改",
                        {{BLOCK_TEXT, "您的账户邮箱现为 {email}，此邮箱不再使用。"},
                         {BLOCK_TEXT, "如果这不是您本人的操作，请立即告知管理员。"}}}}},
    {"webhook-off",
     {[CONF_ENGLISH] = {"A webhook of {tenant} was turned off",
                        {{BLOCK_TEXT, "Nothing could be delivered to {url} for days, so the webhook was turned "
                                      "off. Turn it on again when its receiver works."}}},
      [CONF_CHINESE] = {"{tenant} 的 Webhook 已停用",
                        {{BLOCK_TEXT, "连续多日无法投递到 {url}，该 Webhook 已停用。接收端恢复后请重新启用。"}}}}},
};

/* ---- values ---- */

/* U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069, U+061C: what turns the direction of text. */
static size_t
turns_direction(struct str s, size_t at)
{
    const uint8_t *b = (const uint8_t *)s.ptr + at;
    size_t left = s.len - at;

    if (left >= 2 && b[0] == 0xd8 && b[1] == 0x9c)
        return 2;
    if (left < 3 || b[0] != 0xe2)
        return 0;
    if (b[1] == 0x80 && (b[2] == 0x8e || b[2] == 0x8f || (b[2] >= 0xaa && b[2] <= 0xae)))
        return 3;
    return b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9 ? 3 : 0;
}

static void
add_plain(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.len;) {
        size_t skip = turns_direction(value, i);

        if (skip == 0 && (uint8_t)value.ptr[i] >= ' ' && value.ptr[i] != 0x7f)
            buf_add_char(out, value.ptr[i]);
        i += MAX(skip, (size_t)1);
    }
}

static void
add_html(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        switch (value.ptr[i]) {
        case '&': buf_add_str(out, STR("&amp;")); break;
        case '<': buf_add_str(out, STR("&lt;")); break;
        case '>': buf_add_str(out, STR("&gt;")); break;
        case '"': buf_add_str(out, STR("&quot;")); break;
        case '\'': buf_add_str(out, STR("&#39;")); break;
        default: buf_add_char(out, value.ptr[i]); break;
        }
}

/* Words of ours among the values: what they are in Chinese. */
static const struct {
    const char *name, *value, *chinese;
} words[] = {
    {"role", "owner", "所有者"},     {"role", "admin", "管理员"},   {"role", "billing", "财务"},
    {"role", "developer", "开发者"}, {"role", "viewer", "只读成员"}, {"level", "key", "密钥"},
    {"level", "member", "成员"},     {"level", "project", "项目"},  {"level", "tenant", "组织"},
    {"window", "day", "每日"},       {"window", "week", "每周"},    {"window", "month", "每月"},
    {"window", "total", "总计"},
};

static struct str
word_of(struct str name, struct str value)
{
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_eq(name, str_from(words[i].name)) && str_eq(value, str_from(words[i].value)))
            return str_from(words[i].chinese);
    return value;
}

/* The value of that name, cleaned; empty when there is none. */
static void
value_of(struct js_value vars, struct str name, enum conf_language language, struct buf *out)
{
    struct str text;

    struct js_value value = js_get(vars, name);
    char *scratch;

    if (!js_is(value, JS_STRING) || value.raw.len > VALUE_BYTES_MAX)
        return;
    scratch = malloc(value.raw.len + 1);
    if (scratch == NULL) {
        out->failed = true;
        return;
    }
    text = js_unescape(value, scratch, value.raw.len + 1);
    add_plain(out, language == CONF_CHINESE ? word_of(name, text) : text);
    explicit_bzero(scratch, value.raw.len + 1);
    free(scratch);
}

/* The text with its values. False: one is missing, and what was appended is none of the mail's. */
static bool
fill(const char *text, struct js_value vars, enum conf_language language, struct buf *out)
{
    struct str rest = str_from(text), name;
    bool all = true;
    size_t before;

    while (rest.ptr != NULL && rest.len > 0) {
        buf_add_str(out, str_split(rest, '{', &rest));
        if (rest.ptr == NULL)
            break;
        name = str_split(rest, '}', &rest);
        before = out->len;
        value_of(vars, name, language, out);
        all = all && out->len > before;
    }
    return all;
}

/* ---- one block, in both forms ---- */

#define HTML_START                                                                                 \
    "<!DOCTYPE html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\"></head>\n"                    \
    "<body style=\"margin:0;padding:24px;font-family:sans-serif;font-size:16px;line-height:1.5;"    \
    "color:#1c1c1c;background:#ffffff\">\n<div style=\"max-width:560px;margin:0 auto\">\n"
#define HTML_END "</div>\n</body></html>\n"

static bool
is_link(struct str link)
{
    return (str_starts_with(link, STR("https://")) || str_starts_with(link, STR("http://"))) &&
           str_find(link, ' ', 0) == link.len;
}

static void
link_block(const char *label, struct js_value vars, struct mail_text *out)
{
    struct buf link;

    buf_init(&link, VALUE_BYTES_MAX + 1);
    value_of(vars, STR("link"), CONF_ENGLISH, &link);
    if (is_link(buf_str(&link))) {
        buf_add_fmt(&out->plain, "%s:\n%.*s\n\n", label, STR_ARGS(buf_str(&link)));
        buf_add_str(&out->html, STR("<p><a href=\""));
        add_html(&out->html, buf_str(&link));
        buf_add_fmt(&out->html, "\" style=\"color:#0b57d0\">%s</a></p>\n", label);
    }
    if (link.ptr != NULL)
        explicit_bzero(link.ptr, link.cap);
    buf_free(&link);
}

static void
text_block(const struct block *block, struct js_value vars, enum conf_language language,
           struct mail_text *out)
{
    bool code = block->kind == BLOCK_CODE;
    struct buf text;

    buf_init(&text, TEXT_BYTES_MAX);
    if (fill(block->text, vars, language, &text)) {
        buf_add_fmt(&out->plain, code ? "    %.*s\n\n" : "%.*s\n\n", STR_ARGS(buf_str(&text)));
        buf_add_str(&out->html, code ? STR("<p style=\"font-size:28px;letter-spacing:4px;"
                                           "font-family:monospace\"><strong>")
                                     : STR("<p>"));
        add_html(&out->html, buf_str(&text));
        buf_add_str(&out->html, code ? STR("</strong></p>\n") : STR("</p>\n"));
    }
    out->plain.failed = out->plain.failed || text.failed;
    if (text.ptr != NULL)
        explicit_bzero(text.ptr, text.cap);
    buf_free(&text);
}

bool
mail_template_fill(struct str kind, enum conf_language language, struct js_value vars,
                   struct mail_text *out)
{
    const struct letter *letter = NULL;

    buf_init(&out->subject, TEXT_BYTES_MAX);
    buf_init(&out->plain, TEXT_BYTES_MAX);
    buf_init(&out->html, TEXT_BYTES_MAX);
    for (size_t i = 0; i < COUNT_OF(letters); i++)
        if (str_eq(kind, str_from(letters[i].kind)))
            letter = &letters[i];
    if (letter == NULL)
        return false;
    (void)fill(letter->in[language].subject, vars, language, &out->subject);
    buf_add_fmt(&out->html, HTML_START, conf_language_name[language]);
    for (const struct block *block = letter->in[language].blocks; block->kind != BLOCK_END; block++)
        if (block->kind == BLOCK_LINK)
            link_block(block->text, vars, out);
        else
            text_block(block, vars, language, out);
    buf_add_str(&out->html, STR(HTML_END));
    return !out->subject.failed && !out->plain.failed && !out->html.failed;
}

void
mail_text_free(struct mail_text *text)
{
    struct buf *const all[] = {&text->subject, &text->plain, &text->html};

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (all[i]->ptr != NULL)
            explicit_bzero(all[i]->ptr, all[i]->cap);
        buf_free(all[i]);
    }
}

enum conf_language
mail_language(struct str locale, enum conf_language otherwise)
{
    struct str rest, language = str_split(locale, '-', &rest);

    if (str_eq_nocase(language, STR("zh")))
        return CONF_CHINESE;
    return str_eq_nocase(language, STR("en")) ? CONF_ENGLISH : otherwise;
}
