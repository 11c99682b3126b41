#include "base/js.h"
#include "base/str.h"
#include "proto/codec_in.h"
#include "test/unit/testing.h"

/*
 * Requests: what a client sends is read, linked, and written again for an upstream of the same
 * protocol, so that each test says both what was understood and how it is spelled. JSON is written
 * with ' for ", since none of it holds an apostrophe.
 */
struct asked {
    struct page page;
    struct arena arena;
    struct chat_request r;
    struct proto_error error;
    struct buf out;
    bool ok;
};

static char *
json(const char *text)
{
    char *copy = strdup(text);

    for (char *p = copy; *p != '\0'; p++)
        *p = *p == '\'' ? '"' : *p;
    return copy;
}

static const struct chat_target plain = {
    .model_json = {"\"up\"", 4}, .output_max = 64000, .can_think = true, .tag = "tp1.m.0."};

static struct asked
read_body(enum proto_endpoint endpoint, const char *text)
{
    char *body = json(text);
    struct asked a = {.page = page_make(body, strlen(body))};
    struct js_error fault;

    free(body);
    arena_init(&a.arena, 1 << 22);
    buf_init(&a.out, 1 << 22);
    a.r = (struct chat_request){
        .body = a.page.text, .endpoint = endpoint, .choice_count = 1, .arena = NULL};
    assert_true(js_check(a.page.text, &a.r.document, &fault));
    return a;
}

/* arena lies in the struct that the caller keeps: only now its address is known. */
static void
understand(struct asked *a)
{
    a->r.arena = &a->arena;
    a->ok = codec_of(ENDPOINT_MESSAGES)->request_read(&a->r, &a->error) &&
            chat_link(&a->r, &a->error);
}

static void
write_for(struct asked *a, const struct chat_target *target)
{
    a->ok = a->ok && codec_of(ENDPOINT_MESSAGES)
                         ->request_write(&a->r, target, &a->r.drops, &a->out, &a->error);
}

static void
end(struct asked *a)
{
    arena_end(&a->arena);
    buf_free(&a->out);
    page_free(&a->page);
}

static void
check_out(struct asked *a, const char *want, const char *drops)
{
    char *wanted = json(want);
    struct js_value ignored;
    struct js_error fault;

    if (!a->ok)
        print_error("%s\n", a->error.message);
    assert_true(a->ok);
    assert_str(buf_str(&a->out), wanted);
    assert_str(((struct str){a->r.drops.text, a->r.drops.len}), drops);
    assert_true(js_check(buf_str(&a->out), &ignored, &fault));
    free(wanted);
}

static void
check_for(const struct chat_target *target, const char *body, const char *want, const char *drops)
{
    struct asked a = read_body(ENDPOINT_MESSAGES, body);

    understand(&a);
    write_for(&a, target);
    check_out(&a, want, drops);
    end(&a);
}

/* With the members that every request has. */
#define HEAD "{'model':'m','max_tokens':100,"
#define SAID HEAD "'messages':[{'role':'user','content':'Hi'}]"
#define UP "{'model':'up','max_tokens':100,"
#define HI "{'role':'user','content':[{'type':'text','text':'Hi'}]}"
#define UPSAID "'messages':[" HI "]"

static void
check(const char *body, const char *want, const char *drops)
{
    check_for(&plain, body, want, drops);
}

/* Refused when it is read, or when it is written. */
static void
check_refused(const char *body, const char *param, const char *message)
{
    struct asked a = read_body(ENDPOINT_MESSAGES, body);

    understand(&a);
    write_for(&a, &plain);
    assert_false(a.ok);
    assert_int_equal(a.error.kind, ERROR_BAD_REQUEST);
    assert_string_equal(a.error.param, param);
    if (strstr(a.error.message, message) == NULL)
        print_error("\"%s\" is not in \"%s\"\n", message, a.error.message);
    assert_non_null(strstr(a.error.message, message));
    end(&a);
}

/* ---- reading ---- */

static void
test_least(void **state)
{
    (void)state;
    check(SAID "}", UP UPSAID "}", "");
    check(HEAD "'messages':[{'role':'user','content':[{'type':'text','text':'a\\u00e9\\/'},"
               "{'type':'text','text':''}]}],'system':null,'tools':null,'thinking':null}",
          UP "'messages':[{'role':'user','content':[{'type':'text','text':'a\\u00e9\\/'}]}]}", "");
}

static void
test_count_tokens(void **state)
{
    struct asked a = read_body(ENDPOINT_COUNT_TOKENS,
                               "{'model':'m','messages':[{'role':'user','content':'Hi'}]}");

    (void)state;
    understand(&a);
    assert_true(a.ok);
    assert_int_equal(a.r.output_max, 0);
    end(&a);
}

static void
test_system(void **state)
{
    (void)state;
    check(SAID ",'system':'Be brief.'}", UP "'system':'Be brief.'," UPSAID "}", "");
    check(SAID ",'system':[{'type':'text','text':'x-anthropic-billing-header: cc=1;'},"
               "{'type':'text','text':'A'},{'type':'text','text':''},{'type':'text','text':'B'}]}",
          UP "'system':'A\\nB'," UPSAID "}", "");
    check(SAID ",'system':[{'type':'text','text':'A'},"
               "{'type':'text','text':'B','cache_control':{'type':'ephemeral','ttl':'1h'}}]}",
          UP "'system':[{'type':'text','text':'A'},{'type':'text','text':'B',"
             "'cache_control':{'type':'ephemeral','ttl':'1h'}}]," UPSAID "}",
          "");
    check(SAID ",'system':[{'type':'text','text':'x-anthropic-billing-header: cc=1;'}]}",
          UP UPSAID "}", "");
}

static void
test_system_later(void **state)
{
    struct chat_target target = plain;
    const char *body = HEAD "'messages':[{'role':'user','content':'Hi'},"
                            "{'role':'system','content':[{'type':'text','text':'Now'}]},"
                            "{'role':'user','content':'Go'}]}";

    (void)state;
    check(body,
          UP "'messages':[{'role':'user','content':[{'type':'text','text':'Hi'},"
             "{'type':'text','text':'Now'},{'type':'text','text':'Go'}]}]}",
          "");
    target.takes_system_later = true;
    check_for(&target, body,
              UP "'messages':[" HI ",{'role':'system','content':[{'type':'text','text':'Now'}]},"
                 "{'role':'user','content':[{'type':'text','text':'Go'}]}]}",
              "");
    /* Before anybody has spoken it is of the system prompt. */
    check(HEAD "'messages':[{'role':'system','content':'S'},{'role':'user','content':'Hi'}]}",
          UP "'system':'S'," UPSAID "}", "");
}

static void
test_images_and_documents(void **state)
{
    (void)state;
#define IMAGE "{'type':'image','source':{'type':'base64','media_type':'image\\/png','data':'AA=='}}"
#define IMAGE_URL "{'type':'image','source':{'type':'url','url':'https://x/y.png'}}"
#define PDF                                                                                        \
    "{'type':'document','source':{'type':'base64','media_type':'application/pdf','data':'AA'}"
#define TEXT_DOCUMENT                                                                              \
    "{'type':'document','source':{'type':'text','media_type':'text/plain','data':'words'}"
    check(HEAD "'messages':[{'role':'user','content':[" IMAGE "," IMAGE_URL "," PDF
               ",'title':'t'}," TEXT_DOCUMENT "},"
               "{'type':'document','source':{'type':'url','url':'https://x/y.pdf'}},"
               "{'type':'document','title':'u','source':{'type':'content','content':["
               "{'type':'text','text':'one'}," IMAGE_URL "]}},"
               "{'type':'document','source':{'type':'content','content':'two'}},"
               "{'type':'search_result','source':'s','title':'t','content':["
               "{'type':'text','text':'three'}]}]}]}",
          UP "'messages':[{'role':'user','content':[" IMAGE "," IMAGE_URL "," PDF
             ",'title':'t'}," TEXT_DOCUMENT "},"
             "{'type':'document','source':{'type':'url','url':'https://x/y.pdf'}},"
             "{'type':'text','text':'one'}," IMAGE_URL ",{'type':'text','text':'two'},"
             "{'type':'text','text':'three'}]}]}",
          "");
    check(HEAD "'messages':[{'role':'user','content':[" TEXT_DOCUMENT
               ",'context':'c','citations':{'enabled':true}}]}]}",
          UP "'messages':[{'role':'user','content':[" TEXT_DOCUMENT "}]}]}", "context, citations");
}

#define CALL(id) "{'type':'tool_use','id':'" id "','name':'f','input':{'a': 1}}"
#define RESULT(id) "{'type':'tool_result','tool_use_id':'" id "'}"
#define ASSISTANT(parts) "{'role':'assistant','content':[" parts "]}"
#define USER(parts) "{'role':'user','content':[" parts "]}"

static void
test_calls(void **state)
{
#define MADE_ID "call_eb1993040acb086c"
    (void)state;
    /* Ids that the service does not take, results in another order and behind a text. */
    check(HEAD "'messages':[{'role':'user','content':'Hi'},"
          ASSISTANT("{'type':'text','text':'Well'}," CALL("t_1") "," CALL("t 2")) ","
          USER("{'type':'text','text':'So'},"
               "{'type':'tool_result','tool_use_id':'t 2','is_error':true,"
               "'content':[{'type':'text','text':'bad'},{'type':'text','text':''}," IMAGE
               ",{'type':'tool_reference','tool_name':'g'}]},"
               "{'type':'tool_result','tool_use_id':'t_1','content':'good'}") "]}",
          UP "'messages':[" HI ","
          ASSISTANT("{'type':'text','text':'Well'}," CALL("t_1") "," CALL(MADE_ID)) ","
          USER("{'type':'tool_result','tool_use_id':'t_1',"
               "'content':[{'type':'text','text':'good'}]},"
               "{'type':'tool_result','tool_use_id':'" MADE_ID "',"
               "'content':[{'type':'text','text':'bad'}," IMAGE ",{'type':'text','text':'g'}],"
               "'is_error':true},{'type':'text','text':'So'}") "]}",
          "");
    /* Said between a call and its result: the result comes first. */
    check(HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(CALL("a")) ","
          "{'role':'system','content':'S'}," USER(RESULT("a")) "]}",
          UP "'messages':[" HI "," ASSISTANT(CALL("a")) ","
          USER(RESULT("a") ",{'type':'text','text':'S'}") "]}",
          "");
}

static void
test_turns(void **state)
{
    (void)state;
    /* The first turn is the user's; a last one of the assistant's stays. */
    check(HEAD "'messages':[{'role':'assistant','content':'A'},{'role':'user','content':'B'},"
               "{'role':'user','content':''},{'role':'user','content':'C'},"
               "{'role':'assistant','content':'{'}]}",
          UP "'messages':[{'role':'user','content':[{'type':'text','text':'.'}]},"
          ASSISTANT("{'type':'text','text':'A'}") ","
          USER("{'type':'text','text':'B'},{'type':'text','text':'C'}") ","
          ASSISTANT("{'type':'text','text':'{'}") "]}",
          "");
    check(HEAD "'messages':[{'role':'user','content':''}]}",
          UP "'messages':[{'role':'user','content':[{'type':'text','text':'.'}]}]}", "");
}

static void
test_tools(void **state)
{
    (void)state;
    check(SAID ",'tools':[{'name':'f','description':'d','input_schema':{'type': 'object'},"
               "'strict':true,'eager_input_streaming':true,'input_examples':[{}],"
               "'cache_control':{'type':'ephemeral'}},"
               "{'type':'custom','name':'g','input_schema':{},'defer_loading':true},"
               "{'type':'web_search_20250305','name':'web_search'}]}",
          UP "'tools':[{'name':'f','description':'d','input_schema':{'type': 'object'},"
             "'strict':true,'cache_control':{'type':'ephemeral'}},"
             "{'name':'g','input_schema':{}}]," UPSAID "}",
          "tools");
#define TOOL ",'tools':[{'name':'f','input_schema':{}}]"
#define UPTOOL UP "'tools':[{'name':'f','input_schema':{}}],"
    check(SAID TOOL ",'tool_choice':{'type':'auto'}}",
          UPTOOL "'tool_choice':{'type':'auto'}," UPSAID "}", "");
    check(SAID TOOL ",'tool_choice':{'type':'any','disable_parallel_tool_use':true}}",
          UPTOOL "'tool_choice':{'type':'any','disable_parallel_tool_use':true}," UPSAID "}", "");
    check(SAID TOOL ",'tool_choice':{'type':'none','disable_parallel_tool_use':true}}",
          UPTOOL "'tool_choice':{'type':'none'}," UPSAID "}", "");
    check(SAID TOOL ",'tool_choice':{'type':'tool','name':'\\u0066'}}",
          UPTOOL "'tool_choice':{'type':'tool','name':'f'}," UPSAID "}", "");
    check(SAID ",'tools':[],'tool_choice':{'type':'auto'}}", UP UPSAID "}", "");
}

static void
test_odd_names(void **state)
{
    (void)state;
    check(HEAD "'messages':[{'role':'user','content':'Hi'},{'role':'assistant','content':["
               "{'type':'tool_use','id':'a','name':'f.g','input':{}}]}," USER(
                   RESULT("a")) "],'tools':[{'name':'f.g','input_schema':{}}],"
               "'tool_choice':{'type':'tool','name':'f.g'}}",
          UP "'tools':[{'name':'fg_d4ec29a12f37d1a7','input_schema':{}}],"
             "'tool_choice':{'type':'tool','name':'fg_d4ec29a12f37d1a7'},"
             "'messages':[" HI ",{'role':'assistant','content':["
             "{'type':'tool_use','id':'a','name':'fg_d4ec29a12f37d1a7','input':{}}]}," USER(
                 RESULT("a")) "]}",
          "");
}

static void
test_knobs(void **state)
{
    struct chat_target target = plain;

    (void)state;
    check(SAID ",'temperature':0.50,'top_p':0.9,'top_k':40,'stop_sequences':['a','b\\n'],"
               "'metadata':{'user_id':'{\\'d\\':1}'},'service_tier':'auto','stream':true}",
          UP UPSAID ",'stop_sequences':['a','b\\n'],'temperature':0.50,'top_p':0.9,'top_k':40,"
                    "'metadata':{'user_id':'{\\'d\\':1}'}}",
          "service_tier");
    target.no_sampling = true;
    target.stream = true;
    check_for(&target, SAID ",'temperature':0.5,'top_p':0.9,'top_k':40}",
              "{'model':'up','max_tokens':100,'stream':true," UPSAID "}",
              "temperature, top_p, top_k");
    check(SAID ",'temperature':1.5}", UP UPSAID ",'temperature':1}", "temperature");
    /* With top_p the default goes without saying. */
    check(SAID ",'temperature':1,'top_p':0.95}", UP UPSAID ",'top_p':0.95}", "");
    check(SAID ",'context_management':{'edits':[]},'speed':'fast','inference_geo':null,"
               "'cache_control':{'type':'ephemeral'},'mcp_servers':[],'foo':1,"
               "'output_config':{'task_budget':{}}}",
          UP UPSAID "}", "speed, cache_control, foo, output_config.task_budget");
}

static void
test_max_tokens(void **state)
{
    struct chat_target target = plain;

    (void)state;
    target.output_max = 50;
    check_for(&target, SAID "}", "{'model':'up','max_tokens':50," UPSAID "}", "");
    target.output_max = 0;
    check_for(&target, SAID "}", UP UPSAID "}", "");
}

static void
test_marks(void **state)
{
    const char *mark = ",'cache_control':{'type':'ephemeral'}";
    char body[2048], want[2048];

    (void)state;
    /* Six marks, of which the last four stay, as the drops say; an empty text's is none. */
    snprintf(body, sizeof body,
             SAID ",'tools':[{'name':'f','input_schema':{}%s}],"
                  "'system':[{'type':'text','text':'A'%s},{'type':'text','text':''%s},"
                  "{'type':'text','text':'B'%s},{'type':'text','text':'C'%s},"
                  "{'type':'text','text':'D'%s},{'type':'text','text':'E'%s}]}",
             mark, mark, mark, mark, mark, mark, mark);
    snprintf(want, sizeof want,
             UP "'tools':[{'name':'f','input_schema':{}}],"
                "'system':[{'type':'text','text':'A'},"
                "{'type':'text','text':'B'%s},{'type':'text','text':'C'%s},"
                "{'type':'text','text':'D'%s},{'type':'text','text':'E'%s}]," UPSAID "}",
             mark, mark, mark, mark);
    check(body, want, "cache_control");
}

static void
test_marks_in_messages(void **state)
{
    (void)state;
#define MARK "'cache_control':{'type':'ephemeral'}"
    check(HEAD "'messages':[{'role':'user','content':'Hi'},{'role':'assistant','content':["
               "{'type':'tool_use','id':'a','name':'f','input':{}," MARK "}]},"
               "{'role':'user','content':[{'type':'tool_result','tool_use_id':'a','content':["
               "{'type':'text','text':'x'," MARK "}]," MARK "},"
               "{'type':'image','source':{'type':'url','url':'u'}," MARK "}]}]}",
          UP "'messages':[" HI ",{'role':'assistant','content':["
             "{'type':'tool_use','id':'a','name':'f','input':{}," MARK "}]},"
             "{'role':'user','content':[{'type':'tool_result','tool_use_id':'a','content':["
             "{'type':'text','text':'x'," MARK "}]," MARK "},"
             "{'type':'image','source':{'type':'url','url':'u'}," MARK "}]}]}",
          "");
}

static void
test_format(void **state)
{
#define SCHEMA "{'type':'json_schema','schema':{'type':'object'}}"
    (void)state;
    check(SAID ",'output_config':{'format':" SCHEMA "}}",
          UP UPSAID ",'output_config':{'format':" SCHEMA "}}", "");
    check(SAID ",'output_format':" SCHEMA "}",
          UP UPSAID ",'output_config':{'format':" SCHEMA "}}", "");
}

/* Of a model that knows no schemas: what it calls a tool with is its answer. */
static void
test_format_by_a_tool(void **state)
{
    struct chat_target target = plain;

#define ANSWERS(name) "{'name':'" name "','description':'Gives the answer.','input_schema':"        \
    "{'type':'object'}}"
#define WANTS ",'output_config':{'format':" SCHEMA "}"
    (void)state;
    target.no_schemas = true;
    check_for(&target, SAID WANTS "}",
              UP "'tools':[" ANSWERS("json_answer") "],'tool_choice':{'type':'tool','name':"
              "'json_answer','disable_parallel_tool_use':true}," UPSAID "}", "");
    check_for(&target, SAID WANTS ",'tools':[{'name':'f','input_schema':{}},{'name':'json_answer',"
                       "'input_schema':{}}],'thinking':{'type':'adaptive'}}",
              UP "'tools':[{'name':'f','input_schema':{}},{'name':'json_answer','input_schema':{}},"
              ANSWERS("json_answer_") "],'tool_choice':{'type':'any','disable_parallel_tool_use':"
              "true}," UPSAID "}", "thinking");
    check_for(&target, SAID WANTS ",'tools':[{'name':'f','input_schema':{}}],"
                       "'tool_choice':{'type':'none'}}",
              UP "'tools':[{'name':'f','input_schema':{}}," ANSWERS("json_answer") "],"
              "'tool_choice':{'type':'tool','name':'json_answer','disable_parallel_tool_use':true},"
              UPSAID "}", "");
    /* One of its own must be called: what that is called with is all of the answer. */
    check_for(&target, SAID WANTS ",'tools':[{'name':'f','input_schema':{}}],"
                       "'tool_choice':{'type':'any'}}",
              UP "'tools':[{'name':'f','input_schema':{}}],'tool_choice':{'type':'any'}," UPSAID "}",
              "output_config.format");
}

/* ---- thinking ---- */

static void
test_thinking_by_budget(void **state)
{
    struct chat_target target = plain;

    (void)state;
    check(HEAD "'messages':[{'role':'user','content':'Hi'}],'temperature':1,'top_k':3,"
               "'top_p':0.97,'thinking':{'type':'enabled','budget_tokens':2000}}",
          "{'model':'up','max_tokens':2100," UPSAID
          ",'thinking':{'type':'enabled','budget_tokens':2000},'top_p':0.97}",
          "temperature, top_k");
    check("{'model':'m','max_tokens':3000,'messages':[{'role':'user','content':'Hi'}],'top_p':0.5,"
          "'thinking':{'type':'enabled','budget_tokens':2000}}",
          "{'model':'up','max_tokens':3000," UPSAID
          ",'thinking':{'type':'enabled','budget_tokens':2000}}",
          "top_p");
    check(SAID ",'thinking':{'type':'adaptive'},'output_config':{'effort':'low'}}",
          "{'model':'up','max_tokens':2148," UPSAID
          ",'thinking':{'type':'enabled','budget_tokens':2048}}",
          "");
    check(SAID ",'thinking':{'type':'between_tools'}}",
          "{'model':'up','max_tokens':8292," UPSAID
          ",'thinking':{'type':'enabled','budget_tokens':8192}}",
          "");
    check(SAID ",'thinking':{'type':'disabled'}}", UP UPSAID "}", "");
    /* The model's limit is lower: the answer keeps what it asked for, but half at most. */
    target.output_max = 4096;
    check_for(&target, SAID ",'thinking':{'type':'adaptive'}}",
              "{'model':'up','max_tokens':4096," UPSAID
              ",'thinking':{'type':'enabled','budget_tokens':3996}}",
              "");
    target.output_max = 2000;
    check_for(&target,
              "{'model':'m','max_tokens':9999,'messages':[{'role':'user','content':'Hi'}],"
              "'thinking':{'type':'adaptive'}}",
              "{'model':'up','max_tokens':2000," UPSAID "}", "thinking");
    target.can_think = false;
    check_for(&target, SAID ",'thinking':{'type':'adaptive'}}", UP UPSAID "}", "thinking");
    check(SAID TOOL ",'thinking':{'type':'adaptive'},'tool_choice':{'type':'any'}}",
          UPTOOL "'tool_choice':{'type':'any'}," UPSAID "}", "thinking");
}

static void
test_thinking_by_effort(void **state)
{
    struct chat_target target = plain;

    (void)state;
    target.think_by_effort = true;
    check_for(&target,
              SAID ",'thinking':{'type':'adaptive','display':'updates'},"
                   "'output_config':{'effort':'xhigh','format':" SCHEMA "}}",
              UP UPSAID ",'thinking':{'type':'adaptive','display':'summarized'},"
                        "'output_config':{'effort':'xhigh','format':" SCHEMA "}}",
              "");
    check_for(&target,
              SAID ",'thinking':{'type':'adaptive','display':'omitted'},"
                   "'output_config':{'effort':'minimal'}}",
              UP UPSAID ",'thinking':{'type':'adaptive'},'output_config':{'effort':'low'}}", "");
    check_for(&target, SAID ",'thinking':{'type':'enabled','budget_tokens':9000}}",
              UP UPSAID ",'thinking':{'type':'adaptive','display':'summarized'},"
                        "'output_config':{'effort':'high'}}",
              "");
    check_for(&target, SAID ",'thinking':{'type':'adaptive'},'output_config':{'effort':'ultra'}}",
              UP UPSAID ",'thinking':{'type':'adaptive','display':'summarized'}}",
              "output_config.effort");
    /* The one on a message holds where the request names none; the last one holds. */
    check_for(&target,
              HEAD "'messages':[{'role':'user','content':'Hi','output_config':{'effort':'low'}},"
                   "{'role':'system','content':[],'output_config':{'effort':'max'}}],"
                   "'thinking':{'type':'adaptive','display':'omitted'}}",
              UP UPSAID ",'thinking':{'type':'adaptive'},'output_config':{'effort':'max'}}", "");
    check_for(&target,
              HEAD "'messages':[{'role':'user','content':'Hi','output_config':{'effort':'low'}}],"
                   "'thinking':{'type':'adaptive','display':'omitted'},"
                   "'output_config':{'effort':'high'}}",
              UP UPSAID ",'thinking':{'type':'adaptive'},'output_config':{'effort':'high'}}", "");
}

#define THOUGHT(signature) "{'type':'thinking','thinking':'Hm','signature':'" signature "'}"

static void
test_thoughts_sent_back(void **state)
{
    (void)state;
    /* Ours without the tag, others not at all, nor ours whose text was lost on the way; none at the
     * end of a turn. */
    check(HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(THOUGHT("tp1.m.0.SIG") ","
               "{'type':'redacted_thinking','data':'tp1.m.0.r.DATA'},"
               "{'type':'redacted_thinking','data':'tp1.m.0.e.OMITTED'},"
               "{'type':'redacted_thinking','data':'tp1.m.0.LOST'},"
               THOUGHT("tp1.g.0.SIG") "," THOUGHT("SIG") ",{'type':'text','text':'A'},"
               THOUGHT("tp1.m.0.LAST")) ",{'role':'user','content':'B'}]}",
          UP "'messages':[" HI "," ASSISTANT(THOUGHT("SIG") ","
             "{'type':'redacted_thinking','data':'DATA'},"
             "{'type':'thinking','thinking':'','signature':'OMITTED'},"
             "{'type':'text','text':'A'}") "," USER("{'type':'text','text':'B'}") "]}",
          "");
    /* A turn of nothing else is none, also where it would be the first. */
    check(HEAD "'messages':[" ASSISTANT(THOUGHT("tp1.m.0.S")) ",{'role':'user','content':'Hi'},"
               ASSISTANT(THOUGHT("tp1.m.0.S")) ",{'role':'user','content':'B'}]}",
          UP "'messages':[" HI "," USER("{'type':'text','text':'B'}") "]}", "");
}

static void
test_thought_missing_in_tool_loop(void **state)
{
#define LOOP(parts)                                                                                \
    HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(parts) "," USER(RESULT("a")) "]," \
         "'thinking':{'type':'enabled','budget_tokens':1024}}"
#define UPLOOP(parts) "'messages':[" HI "," ASSISTANT(parts) "," USER(RESULT("a")) "]"
    (void)state;
    check(LOOP(CALL("a")), UP UPLOOP(CALL("a")) "}", "thinking");
    check(LOOP(THOUGHT("other") "," CALL("a")), UP UPLOOP(CALL("a")) "}", "thinking");
    check(LOOP(THOUGHT("tp1.m.0.S") "," CALL("a")),
          "{'model':'up','max_tokens':1124," UPLOOP(THOUGHT("S") "," CALL("a")) ","
          "'thinking':{'type':'enabled','budget_tokens':1024}}",
          "");
    /* An answer of nothing but thoughts, which are not sent, does not end the loop. */
    check(HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(CALL("a")) ","
               USER(RESULT("a")) "," ASSISTANT(THOUGHT("other")) ",{'role':'user','content':'B'}],"
               "'thinking':{'type':'enabled','budget_tokens':1024}}",
          UP "'messages':[" HI "," ASSISTANT(CALL("a")) ","
             USER(RESULT("a") ",{'type':'text','text':'B'}") "]}",
          "thinking");
    /* Its text was lost: it cannot be sent back, and so is missing. */
    check(LOOP("{'type':'thinking','thinking':'','signature':'tp1.m.0.S'}," CALL("a")),
          UP UPLOOP(CALL("a")) "}", "thinking");
    /* Nor after the beginning of an answer. */
    check(HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(
              "{'type':'text','text':'A'}") "],'thinking':{'type':'enabled','budget_tokens':1024}}",
          UP "'messages':[" HI "," ASSISTANT("{'type':'text','text':'A'}") "]}", "thinking");
}

/* ---- a client of its own kind ---- */

static void
test_claude_code(void **state)
{
    struct asked a = read_body(
        ENDPOINT_MESSAGES,
        "{'model':'claude-x','messages':[{'role':'user','content':["
        "{'type':'text','text':'<system-reminder>date</system-reminder>'},"
        "{'type':'text','text':'hi','cache_control':{'type':'ephemeral'}}]},"
        "{'role':'system','content':[{'type':'text','text':'Turn notes',"
        "'cache_control':{'type':'ephemeral'}}],'output_config':{'effort':'high'}}],"
        "'system':[{'type':'text','text':'x-anthropic-billing-header: cc_version=2; cch=1;'},"
        "{'type':'text','text':'You are an agent.','cache_control':{'type':'ephemeral'}},"
        "{'type':'text','text':'Rules','cache_control':{'type':'ephemeral','ttl':'1h'}}],"
        "'tools':[{'name':'Bash','description':'Runs','input_schema':{"
        "'$schema':'https://json-schema.org/draft/2020-12/schema','type':'object','properties':{"
        "'command':{'type':'string'}},'required':['command'],'additionalProperties':false}},"
        "{'name':'DeferredToolPlaceholder','description':'P','input_schema':{'type':'object',"
        "'properties':{}},'defer_loading':true}],"
        "'metadata':{'user_id':'{\\'device_id\\':\\'d\\'}'},'max_tokens':128000,"
        "'thinking':{'type':'adaptive','display':'omitted'},"
        "'context_management':{'edits':[{'type':'clear_thinking_20251015','keep':'all'}]},"
        "'output_config':{'effort':'medium'},'stream':true}");
    const struct chat_message *m;

    (void)state;
    understand(&a);
    assert_true(a.ok);
    assert_int_equal(a.r.drops.len, 0);
    assert_true(a.r.stream);
    assert_int_equal(a.r.output_max, 128000);
    assert_int_equal(a.r.thinking, CHAT_THINKING_ON);
    assert_false(a.r.thinking_shown);
    assert_int_equal(a.r.effort, CHAT_EFFORT_MEDIUM);
    m = a.r.messages;
    assert_int_equal(m->role, CHAT_SYSTEM);
    assert_true(m->leading);
    assert_str(m->parts->text.raw, "You are an agent.");
    assert_int_equal(m->parts->cache, CHAT_CACHE_SHORT);
    assert_int_equal(m->parts->next->cache, CHAT_CACHE_LONG);
    assert_null(m->parts->next->next);
    m = m->next;
    assert_int_equal(m->role, CHAT_USER);
    assert_str(m->parts->next->text.raw, "hi");
    m = m->next;
    assert_int_equal(m->role, CHAT_SYSTEM);
    assert_false(m->leading);
    assert_str(m->parts->text.raw, "Turn notes");
    assert_null(m->next);
    assert_str(a.r.tools->next->name.raw, "DeferredToolPlaceholder");
    assert_null(a.r.tools->next->next);
    assert_string_equal(a.r.knobs[CHAT_END_USER].name, "metadata.user_id");
    end(&a);
}

/* ---- refusals ---- */

static void
test_refused_fields(void **state)
{
    static const struct {
        const char *body, *param, *message;
    } cases[] = {
        {"[]", "", "must be an object"},
        {"{'max_tokens':1}", "messages", "messages: Field required"},
        {"{'messages':[]}", "max_tokens", "max_tokens: Field required"},
        {HEAD "'messages':[]}", "messages", "must not be empty"},
        {HEAD "'messages':{}}", "messages", "must be a list"},
        {"{'max_tokens':0,'messages':[]}", "max_tokens", "a whole number from 1"},
        {"{'max_tokens':1.5,'messages':[]}", "max_tokens", "a whole number from 1"},
        {SAID ",'stream':1}", "stream", "must be true or false"},
        {SAID ",'system':1}", "system", "must be a string or a list of blocks"},
        {SAID ",'system':[{'type':'image'}]}", "system[0]", "must not stand here"},
        {SAID ",'container':'c'}", "container", "cannot be reached"},
        {SAID ",'mcp_servers':[{}]}", "mcp_servers", "calls no MCP servers"},
        {SAID ",'temperature':'1'}", "temperature", "must be a number"},
        {SAID ",'top_p':'1'}", "top_p", "must be a number"},
        {SAID ",'top_k':1.5}", "top_k", "must be a whole number"},
        {SAID ",'metadata':1}", "metadata", "must be an object"},
        {SAID ",'metadata':{'user_id':1}}", "metadata.user_id", "must be a string"},
        {SAID ",'service_tier':1}", "service_tier", "must be a string"},
        {SAID ",'stop_sequences':[1]}", "stop_sequences[0]", "must be a string"},
        {SAID ",'stop_sequences':['a','\\n ']}", "stop_sequences[1]", "nothing but blanks"},
        {SAID ",'tools':{}}", "tools", "must be a list"},
        {SAID ",'tools':[1]}", "tools[0]", "must be an object"},
        {SAID ",'tools':[{'name':'f'}]}", "tools[0]", "input_schema is missing"},
        {SAID ",'tools':[{'input_schema':{}}]}", "tools[0]", "name is missing"},
        {SAID ",'tools':[{'name':1}]}", "tools[0].name", "must be a string"},
        {SAID ",'tools':[{'name':'f','type':1}]}", "tools[0].type", "must be a string"},
        {SAID ",'tools':[{'name':'f','input_schema':[]}]}", "tools[0].input_schema",
         "must be an object"},
        {SAID ",'tools':[{'name':'f','input_schema':{},'description':1}]}",
         "tools[0].description", "must be a string"},
        {SAID ",'tools':[{'name':'f','input_schema':{},'strict':1}]}", "tools[0].strict",
         "must be true or false"},
        {SAID ",'tools':[{'name':'f','input_schema':{},'cache_control':1}]}",
         "tools[0].cache_control", "must be an object"},
        {SAID ",'tools':[{'type':'bash_20250124','name':'bash'}]}", "tools[0]",
         "its provider's own"},
        {SAID TOOL ",'tool_choice':'auto'}", "tool_choice", "must be an object"},
        {SAID TOOL ",'tool_choice':{}}", "tool_choice", "type is missing"},
        {SAID TOOL ",'tool_choice':{'type':'x'}}", "tool_choice.type", "must be auto, any"},
        {SAID TOOL ",'tool_choice':{'type':'tool'}}", "tool_choice", "name is missing"},
        {SAID TOOL ",'tool_choice':{'type':'tool','name':'g'}}", "tool_choice.name",
         "none of the tools"},
        {SAID TOOL ",'tool_choice':{'type':'any','disable_parallel_tool_use':1}}",
         "tool_choice.disable_parallel_tool_use", "must be true or false"},
        {SAID ",'tool_choice':{'type':'any'}}", "tool_choice", "there is no tool"},
        {SAID ",'thinking':1}", "thinking", "must be an object"},
        {SAID ",'thinking':{}}", "thinking", "type is missing"},
        {SAID ",'thinking':{'type':'x'}}", "thinking.type", "must be enabled, adaptive"},
        {SAID ",'thinking':{'type':'enabled'}}", "thinking", "budget_tokens is missing"},
        {SAID ",'thinking':{'type':'enabled','budget_tokens':1}}", "thinking.budget_tokens",
         "a whole number from 1024"},
        {SAID ",'thinking':{'type':'adaptive','display':1}}", "thinking.display",
         "must be a string"},
        {SAID ",'output_config':1}", "output_config", "must be an object"},
        {SAID ",'output_config':{'effort':1}}", "output_config.effort", "must be a string"},
        {SAID ",'output_config':{'format':{}}}", "output_config.format", "type is missing"},
        {SAID ",'output_config':{'format':{'type':'x'}}}", "output_config.format.type",
         "must be json_schema"},
        {SAID ",'output_format':{'type':'json_schema'}}", "output_format", "schema is missing"},
        {SAID ",'output_format':{'type':'json_schema','schema':1}}", "output_format.schema",
         "must be an object"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_refused(cases[i].body, cases[i].param, cases[i].message);
}

#define ONE(role, content) HEAD "'messages':[{'role':'" role "','content':[" content "]}]}"

static void
test_refused_content(void **state)
{
    static const struct {
        const char *body, *param, *message;
    } cases[] = {
        {HEAD "'messages':[1]}", "messages[0]", "must be an object"},
        {HEAD "'messages':[{'content':'a'}]}", "messages[0]", "role is missing"},
        {HEAD "'messages':[{'role':'tool','content':'a'}]}", "messages[0].role", "must be user"},
        {HEAD "'messages':[{'role':'user'}]}", "messages[0]", "content is missing"},
        {HEAD "'messages':[{'role':'user','content':{}}]}", "messages[0].content",
         "a string or a list of blocks"},
        {HEAD "'messages':[{'role':'user','content':'a','output_config':{'effort':1}}]}",
         "messages[0].output_config.effort", "must be a string"},
        {ONE("user", "'a'"), "messages[0].content[0]", "must be an object"},
        {ONE("user", "null"), "messages[0].content[0]", "must be an object"},
        {ONE("user", "{}"), "messages[0].content[0]", "type is missing"},
        {ONE("user", "{'type':'video'}"), "messages[0].content[0].type", "no such type of block"},
        {ONE("user", "{'type':'text'}"), "messages[0].content[0]", "text is missing"},
        {ONE("user", "{'type':'text','text':1}"), "messages[0].content[0].text",
         "must be a string"},
        {ONE("user", "{'type':'text','text':'a','cache_control':{'ttl':1}}"),
         "messages[0].content[0].cache_control.ttl", "must be a string"},
        {ONE("user", "{'type':'image'}"), "messages[0].content[0]", "source is missing"},
        {ONE("user", "{'type':'image','source':{'type':'file','file_id':'f'}}"),
         "messages[0].content[0].source", "a file kept by one provider"},
        {ONE("user", "{'type':'document','source':{'type':'file','file_id':'f'}}"),
         "messages[0].content[0].source", "a file kept by one provider"},
        {ONE("user", "{'type':'image','source':{'type':'text','data':'f'}}"),
         "messages[0].content[0].source.type", "no such type of source"},
        {ONE("user", "{'type':'image','source':{'type':'base64','data':'f'}}"),
         "messages[0].content[0].source", "media_type is missing"},
        {ONE("user", "{'type':'image','source':{'type':'url'}}"),
         "messages[0].content[0].source", "url is missing"},
        {ONE("user",
             "{'type':'image','source':{'type':'base64','media_type':'image/tiff','data':'f'}}"),
         "messages[0].content[0]", "PNG, JPEG, GIF or WebP"},
        {ONE("user",
             "{'type':'document','source':{'type':'base64','media_type':'a/b','data':'f'}}"),
         "messages[0].content[0]", "only as PDF"},
        {ONE("user", "{'type':'document','source':{'type':'content','content':["
                     "{'type':'document'}]}}"),
         "messages[0].content[0].source.content[0]", "must not stand here"},
        {ONE("user", "{'type':'search_result','content':'x'}"), "messages[0].content[0].content",
         "must be a list"},
        {ONE("user", "{'type':'container_upload','file_id':'x'}"), "messages[0].content[0]",
         "of a tool of its provider's own"},
        {ONE("user", "{'type':'tool_use','id':'a','name':'f','input':{}}"),
         "messages[0].content[0]", "must not stand here"},
        {ONE("user", "{'type':'tool_result'}"), "messages[0].content[0]",
         "tool_use_id is missing"},
        {ONE("user", RESULT("a")), "messages[0].content[0]", "answers no call"},
        {ONE("user", "{'type':'tool_result','tool_use_id':'a','content':1}"),
         "messages[0].content[0].content", "a string or a list of blocks"},
        {ONE("user", "{'type':'tool_result','tool_use_id':'a','is_error':1}"),
         "messages[0].content[0].is_error", "must be true or false"},
        {ONE("user", "{'type':'tool_result','tool_use_id':'a','content':[" RESULT("b") "]}"),
         "messages[0].content[0].content[0]", "must not stand here"},
        {ONE("assistant", "{'type':'server_tool_use','id':'a'}"), "messages[0].content[0]",
         "of a tool of its provider's own"},
        {ONE("assistant", "{'type':'web_search_tool_result'}"), "messages[0].content[0]",
         "of a tool of its provider's own"},
        {ONE("assistant", "{'type':'tool_use','name':'f','input':{}}"), "messages[0].content[0]",
         "id is missing"},
        {ONE("assistant", "{'type':'tool_use','id':'a','input':{}}"), "messages[0].content[0]",
         "name is missing"},
        {ONE("assistant", "{'type':'tool_use','id':'a','name':'','input':{}}"),
         "messages[0].content[0].name", "must not be empty"},
        {ONE("assistant", "{'type':'tool_use','id':'a','name':'f','input':[]}"),
         "messages[0].content[0].input", "must be an object"},
        {ONE("assistant", "{'type':'thinking'}"), "messages[0].content[0]",
         "thinking is missing"},
        {ONE("assistant", "{'type':'thinking','thinking':'a','signature':1}"),
         "messages[0].content[0].signature", "must be a string"},
        {ONE("assistant", "{'type':'redacted_thinking'}"), "messages[0].content[0]",
         "data is missing"},
        {HEAD "'messages':[" ASSISTANT(CALL("a")) "," USER("{'type':'text','text':'x'}") "]}",
         "messages[0].content[0]", "the result of this call of a tool is missing"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_refused(cases[i].body, cases[i].param, cases[i].message);
}

/* ---- what only clients of other protocols ask for ---- */

static struct js_value
string(const char *text)
{
    return chat_literal(text);
}

static void
test_foreign_knobs(void **state)
{
    struct asked a = read_body(ENDPOINT_MESSAGES, SAID ",'seed':1}");

    (void)state;
    understand(&a);
    a.r.drops.len = 0;
    a.r.endpoint = ENDPOINT_CHAT;
    a.r.format = CHAT_FORMAT_JSON;
    a.r.no_parallel = true;
    codec_knob(&a.r, CHAT_SEED, "seed", string("1"));
    codec_knob(&a.r, CHAT_CACHE_KEY, "prompt_cache_key", string("k"));
    codec_knob(&a.r, CHAT_VERBOSITY, "verbosity", string("low"));
    write_for(&a, &plain);
    check_out(&a, UP "'system':'Answer with a JSON object and nothing else.'," UPSAID "}",
              "response_format, seed, prompt_cache_key, verbosity");
    end(&a);
}

static void
check_unheld(void (*ask)(struct asked *a), const char *message)
{
    struct asked a = read_body(ENDPOINT_MESSAGES, SAID ",'n':2}");

    understand(&a);
    ask(&a);
    write_for(&a, &plain);
    assert_false(a.ok);
    assert_int_equal(a.error.kind, ERROR_BAD_REQUEST);
    if (strstr(a.error.message, message) == NULL)
        print_error("%s\n", a.error.message);
    assert_non_null(strstr(a.error.message, message));
    end(&a);
}

static void
ask_several(struct asked *a)
{
    a->r.choice_count = 2;
    a->r.choice_count_at = js_get(a->r.document, STR("n"));
}

static void
ask_logprobs(struct asked *a)
{
    a->r.logprobs = true;
}

static void
ask_audio(struct asked *a)
{
    a->r.messages->parts->kind = CHAT_PART_AUDIO;
}

static void
ask_image_of_assistant(struct asked *a)
{
    a->r.messages->role = CHAT_ASSISTANT;
    a->r.messages->parts->kind = CHAT_PART_IMAGE;
}

static void
ask_image_of_system(struct asked *a)
{
    a->r.messages->role = CHAT_SYSTEM;
    a->r.messages->parts->kind = CHAT_PART_IMAGE;
}

static void
test_unheld(void **state)
{
    (void)state;
    check_unheld(ask_several, "n: the model gives one answer at a time");
    check_unheld(ask_logprobs, "no log probabilities");
    check_unheld(ask_audio, "does not take audio");
    check_unheld(ask_image_of_assistant, "no images or files as its own");
    check_unheld(ask_image_of_system, "nothing but text");
}

static void
test_foreign_tools(void **state)
{
    struct asked a = read_body(
        ENDPOINT_MESSAGES,
        HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(CALL("a") "," CALL("b")) ","
             USER(RESULT("a") "," RESULT("b")) "],'grammar':{'type':'grammar','syntax':'lark',"
             "'definition':'start: \\'a\\''},'tools':[{'name':'f','input_schema':{}},"
             "{'name':'s','input_schema':{}},{'name':'u','input_schema':{}},"
             "{'name':'v','input_schema':{}}]}");
    struct chat_part *call;
    struct chat_tool *tool;

    (void)state;
    understand(&a);
    a.r.drops.len = 0;
    a.r.no_parallel = true;
    tool = a.r.tools;
    tool->kind = CHAT_TOOL_CUSTOM;
    tool->space = string("ns");
    tool->format = js_get(a.r.document, STR("grammar"));
    tool->description = string("d");
    tool = tool->next;
    tool->kind = CHAT_TOOL_LOCAL_SHELL;
    tool->name = (struct js_value){.type = JS_NONE};
    tool = tool->next;
    tool->unlisted = true;
    tool->next->schema = (struct js_value){.type = JS_NONE};
    call = a.r.messages->next->parts;
    call->tool = CHAT_TOOL_CUSTOM;
    call->space = string("ns");
    call->arguments = string("free");
    call->next->arguments = string("[1]"); /* not an object */
    call->next->tool_name = string("v");
    write_for(&a, &plain);
    check_out(&a,
              UP "'tools':[{'name':'ns__f',"
                 "'description':'d\\n\\nThe input must follow this grammar:\\nstart: \\'a\\'',"
                 "'input_schema':{'type':'object','properties':{'input':{'type':'string'}},"
                 "'required':['input']}},"
                 "{'name':'local_shell','description':"
                 "'Runs a command and answers with what it prints.',"
                 "'input_schema':{'type':'object','properties':{'command':{'type':'array',"
                 "'items':{'type':'string'}}},'required':['command']}},"
                 "{'name':'v','input_schema':{'type':'object','properties':{}}}],"
                 "'tool_choice':{'type':'auto','disable_parallel_tool_use':true},"
                 "'messages':[" HI ",{'role':'assistant','content':["
                 "{'type':'tool_use','id':'a','name':'ns__f','input':{'input':'free'}},"
                 "{'type':'tool_use','id':'b','name':'v','input':{'_raw':'[1]'}}]}," USER(
                     RESULT("a") "," RESULT("b")) "]}",
              "");
    end(&a);
}

/* Gemini's clients send a signature back on the call that came after it. */
static void
test_signature_on_a_call(void **state)
{
    struct asked a =
        read_body(ENDPOINT_MESSAGES, HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(
                                         THOUGHT("") "," CALL("a")) "," USER(RESULT("a")) "]}");

    (void)state;
    understand(&a);
    a.r.messages->next->parts->next->signature = string("tp1.m.0.SIG");
    a.r.thinking = CHAT_THINKING_ON;
    a.r.thinking_budget = 1024;
    write_for(&a, &plain);
    check_out(&a,
              "{'model':'up','max_tokens':1124," UPLOOP(THOUGHT("SIG") "," CALL("a")) ","
              "'thinking':{'type':'enabled','budget_tokens':1024}}",
              "");
    end(&a);
}

static void
test_no_room(void **state)
{
    (void)state;
    for (size_t limit = 0;; limit += 64) {
        struct asked a = read_body(
            ENDPOINT_MESSAGES,
            HEAD "'messages':[{'role':'user','content':'Hi'}," ASSISTANT(
                THOUGHT("tp1.m.0.S") "," CALL("a b")) "," USER(RESULT("a b")) "]" TOOL "}");
        bool done;

        a.arena.limit_bytes = limit;
        buf_free(&a.out);
        buf_init(&a.out, limit);
        understand(&a);
        write_for(&a, &plain);
        done = a.ok;
        if (!done)
            assert_int_equal(a.error.kind, ERROR_TOO_LARGE);
        end(&a);
        if (done)
            break;
    }
}

/* ---- bounds of what all codecs share ---- */

/* An assistant's message with so many calls, and their results in the opposite order. */
static char *
many_calls(unsigned count)
{
    struct buf body;
    char *text;

    buf_init(&body, 1 << 20);
    buf_add_str(&body, STR(HEAD "'messages':[{'role':'user','content':'Hi'},"
                                "{'role':'assistant','content':["));
    for (unsigned i = 0; i < count; i++)
        buf_add_fmt(&body, "%s{'type':'tool_use','id':'i%u','name':'f','input':{}}",
                    i > 0 ? "," : "", i);
    buf_add_str(&body, STR("]},{'role':'user','content':["));
    for (unsigned i = count; i-- > 0;)
        buf_add_fmt(&body, "{'type':'tool_result','tool_use_id':'i%u'}%s", i, i > 0 ? "," : "");
    buf_add_str(&body, STR("]}]}"));
    buf_add_char(&body, '\0');
    text = strdup(body.ptr);
    buf_free(&body);
    return text;
}

static void
test_calls_are_bounded(void **state)
{
    char *most = many_calls(CHAT_CALLS_MAX), *more = many_calls(CHAT_CALLS_MAX + 1);
    struct asked a = read_body(ENDPOINT_MESSAGES, most);

    (void)state;
    understand(&a);
    assert_true(a.ok);
    end(&a);
    check_refused(more, "messages[1].content[512]", "more than 512 calls");
    free(most);
    free(more);
}

/* Plain names cost nothing; of those that have to be kept there is a limit. */
static void
check_names(const char *fmt, unsigned count, bool ok)
{
    struct asked a;
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add_str(&body, STR(SAID ",'tools':["));
    for (unsigned i = 0; i < count; i++) {
        buf_add_str(&body, i > 0 ? STR(",{'name':'") : STR("{'name':'"));
        buf_add_fmt(&body, "%s%u", fmt, i);
        buf_add_str(&body, STR("','input_schema':{}}"));
    }
    buf_add_str(&body, STR("]}"));
    buf_add_char(&body, '\0');
    a = read_body(ENDPOINT_MESSAGES, body.ptr);
    understand(&a);
    assert_true(a.ok);
    write_for(&a, &plain);
    assert_int_equal(a.ok, ok);
    if (!ok)
        assert_int_equal(a.error.kind, ERROR_TOO_LARGE);
    end(&a);
    buf_free(&body);
}

static void
test_names_are_bounded(void **state)
{
    (void)state;
    check_names("f.", CHAT_NAMES_MAX, true);
    check_names("f.", CHAT_NAMES_MAX + 1, false);
    check_names("f_", 2 * CHAT_NAMES_MAX, true);
}

/* The same id in two spellings is the same, without a copy of it. */
static void
test_spellings(void **state)
{
    (void)state;
    check(HEAD "'messages':[{'role':'user','content':'Hi'},"
          ASSISTANT(CALL("a\\u0062") "," CALL("\\u0063d")) ","
          USER(RESULT("ab") "," RESULT("c\\u0064")) "]}",
          UP "'messages':[" HI ","
          ASSISTANT(CALL("call_ce1237652d87e202") "," CALL("call_3ffaf6dce27ba590")) ","
          USER(RESULT("call_ce1237652d87e202") "," RESULT("call_3ffaf6dce27ba590")) "]}",
          "");
    check_refused(HEAD "'messages':[{'role':'user','content':'Hi'},"
                  ASSISTANT(CALL("a\\u0062") "," CALL("ab")) ","
                  USER(RESULT("ab") "," RESULT("ab")) "]}",
                  "messages[1].content[1]", "another call has the same id");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_count_tokens),
        cmocka_unit_test(test_system),
        cmocka_unit_test(test_system_later),
        cmocka_unit_test(test_images_and_documents),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_knobs),
        cmocka_unit_test(test_max_tokens),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_marks_in_messages),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_by_a_tool),
        cmocka_unit_test(test_thinking_by_budget),
        cmocka_unit_test(test_thinking_by_effort),
        cmocka_unit_test(test_thoughts_sent_back),
        cmocka_unit_test(test_thought_missing_in_tool_loop),
        cmocka_unit_test(test_claude_code),
        cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_refused_content),
        cmocka_unit_test(test_foreign_knobs),
        cmocka_unit_test(test_unheld),
        cmocka_unit_test(test_foreign_tools),
        cmocka_unit_test(test_signature_on_a_call),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_calls_are_bounded),
        cmocka_unit_test(test_names_are_bounded),
        cmocka_unit_test(test_spellings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
