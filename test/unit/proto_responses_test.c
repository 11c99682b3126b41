/* Responses: requests read and written, answers of upstreams read, answers to clients written. */
#include "base/str.h"
#include "proto/codec_in.h"
#include "test/unit/testing.h"

/* JSON is written with single quotes here. The caller frees it. */
static char *
json(const char *text)
{
    char *copy = strdup(text);

    for (char *p = copy; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    return copy;
}

static void
assert_json(struct str got, const char *want)
{
    char *copy = json(want);

    assert_str(got, copy);
    free(copy);
}

/* ---- requests ---- */

#define TAG "tp1.r.0123456789abcdef."

static const struct chat_target plain_target = {.model_json = STR("\"up\""), .tag = TAG};

/* Reads a request, links it and writes it again. False: *error says why. *drops: what was named. */
static bool
round_trip(const char *body, const struct chat_target *target, struct buf *out,
           struct chat_drops *drops, struct proto_error *error)
{
    char *text = json(body);
    struct page page = page_make(text, strlen(text));
    struct chat_request r = {.body = page.text, .choice_count = 1, .endpoint = ENDPOINT_RESPONSES};
    struct js_error fault;
    struct arena arena;
    bool good;

    arena_init(&arena, 1 << 20);
    r.arena = &arena;
    if (!js_check(page.text, &r.document, &fault))
        fail_msg("%s: %s", body, fault.what);
    buf_init(out, 1 << 20);
    good = responses_codec.request_read(&r, error) && chat_link(&r, error);
    *drops = r.drops;
    good = good && responses_codec.request_write(&r, target, drops, out, error);
    if (good && !js_check(buf_str(out), &r.document, &fault))
        fail_msg("%.*s: %s", STR_ARGS(buf_str(out)), fault.what);
    arena_end(&arena);
    page_free(&page);
    free(text);
    return good;
}

static void
check_written(const char *body, const struct chat_target *target, const char *want,
              const char *want_drops)
{
    struct chat_drops drops;
    struct proto_error error;
    struct buf out;

    if (!round_trip(body, target, &out, &drops, &error))
        fail_msg("%s: %s", body, error.message);
    assert_json(buf_str(&out), want);
    assert_str(((struct str){drops.text, drops.len}), want_drops);
    buf_free(&out);
}

static void
check_refused(const char *body, const char *param, const char *what)
{
    struct chat_drops drops;
    struct proto_error error;
    struct buf out;
    char *said;

    if (round_trip(body, &plain_target, &out, &drops, &error))
        fail_msg("%s: was taken", body);
    buf_free(&out);
    said = json(what);
    if (strcmp(error.param, param) != 0 || strstr(error.message, said) == NULL)
        fail_msg("%s: '%s': %s", body, error.param, error.message);
    free(said);
    assert_int_equal(error.kind, ERROR_BAD_REQUEST);
}

#define HEAD "{'model':'up',"
#define HI                                                                                         \
    "'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'hi'}]}]"
#define TAIL ",'store':false}"
#define ASK(rest) "{'model':'m','input':'hi'" rest "}"
#define ASKED(rest) HEAD HI rest TAIL
#define IN(items) "{'model':'m','input':[" items "]}"
#define USER(parts) "{'type':'message','role':'user','content':[" parts "]}"
#define TEXT(text) "{'type':'input_text','text':'" text "'}"
#define SAID(text)                                                                                 \
    "{'type':'output_text','text':'" text "','annotations':[],'logprobs':[]}"

static void
test_request_input(void **state)
{
    static const struct {
        const char *body, *want, *drops;
    } cases[] = {
        {ASK(""), ASKED(""), ""},
        {"{'model':'m','input':'a\\u00e9\\'b'}", HEAD "'input':[" USER(TEXT("a\\u00e9\\'b")) "]"
         TAIL, ""},
        /* Messages without a type, strings and parts, the system's and developer's anywhere. */
        {"{'instructions':'Be\\n.','input':[{'role':'system','content':'S'},"
         "{'role':'user','content':'U','id':'msg_1','status':'completed'},"
         "{'role':'assistant','phase':'commentary','content':'A'},"
         "{'type':'message','role':'assistant','content':[{'type':'output_text','text':'B',"
          "'annotations':[]},"
         "{'type':'refusal','refusal':'no'}]},"
         "{'role':'developer','content':[{'type':'input_text','text':'D'}]}]}",
         HEAD "'instructions':'Be\\n.','input':["
              "{'type':'message','role':'system','content':[" TEXT("S") "]}," USER(TEXT("U")) ","
              "{'type':'message','role':'assistant','content':[" SAID("A") "," SAID("B") ","
               "{'type':'refusal','refusal':'no'}]},"
              "{'type':'message','role':'system','content':[" TEXT("D") "]}]" TAIL,
         ""},
        /* Pictures and files. */
        {IN("{'role':'user','content':[" TEXT("a") ",{'type':'input_image',"
         "'image_url':'data:image\\/png;base64,AAAA','detail':'high'},"
            "{'type':'input_image','image_url':'https://x.test/a.png','file_id':null}," TEXT("")
             ",{'type':'input_file','filename':'a.pdf','file_data':'data:application/pdf;base64,"
             "BBBB'},"
            "{'type':'input_file','file_data':'DATA:application/pdf;base64,CC=='},"
             "{'type':'input_file','file_url':'https://x.test/b.pdf'}]}"),
         HEAD "'input':[" USER(TEXT("a") ",{'type':'input_image',"
          "'image_url':'data:image/png;base64,AAAA','detail':'high'},"
              "{'type':'input_image','image_url':'https://x.test/a.png'},{'type':'input_file',"
               "'filename':'a.pdf','file_data':'data:application/pdf;base64,BBBB'},"
              "{'type':'input_file','filename':'document.pdf',"
               "'file_data':'data:application/pdf;base64,CC=='},{'type':'input_file',"
               "'file_url':'https://x.test/b.pdf'}") "]" TAIL,
         ""},
        {IN("{'role':'user','content':[{'type':'input_audio','input_audio':{'data':'AA',"
         "'format':'mp3','x':1}}]}"),
         HEAD "'input':[" USER("{'type':'input_audio','input_audio':{'data':'AA','format':'mp3'}}")
         "]" TAIL, ""},
        /* What the provider's own tools did. */
        {IN("{'role':'user','content':'hi'},{'type':'web_search_call','id':'ws_1',"
         "'status':'completed'},{'type':'mcp_call'}"),
         ASKED(""), "input"},
        /* Reasoning: with our tag, with another's, with none, and what stands for something
         kept. */
        {IN("{'role':'user','content':'hi'},"
            "{'type':'reasoning','id':'rs_1','content':null,'summary':[{'type':'summary_text',"
             "'text':'a'},{'type':'summary_text','text':'b\\t'}],'encrypted_content':'" TAG
             "SIG='},"
            "{'type':'reasoning','summary':[],'encrypted_content':'" TAG "X'},"
            "{'type':'reasoning','summary':[],'encrypted_content':'tp1.m.0123456789abcdef.X'},"
            "{'type':'reasoning','summary':[],'encrypted_content':'gAAAA'},"
            "{'type':'reasoning','summary':[{'type':'summary_text','text':'a'}]},"
             "{'type':'reasoning','id':'rs_2','summary':[]},"
            "{'role':'assistant','content':'A'},{'role':'user','content':'hi'}"),
         HEAD "'input':[" USER(TEXT("hi")) ",{'type':'reasoning',"
          "'summary':[{'type':'summary_text','text':'a\\n\\nb\\t'}],'encrypted_content':'SIG='},"
              "{'type':'reasoning','summary':[],'encrypted_content':'X'},"
              "{'type':'message','role':'assistant','content':[" SAID("A") "]},"
               USER(TEXT("hi")) "]" TAIL,
         ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_written(cases[i].body, &plain_target, cases[i].want, cases[i].drops);
}

static void
test_request_calls(void **state)
{
    static const struct {
        const char *body, *want, *drops;
    } cases[] = {
        {IN("{'role':'user','content':'hi'},{'role':'assistant','content':'I'},"
            "{'type':'function_call','id':'fc_1','status':'completed','call_id':'c1','name':'f',"
             "'arguments':'{\\'a\\': 1.0}'},"
            "{'type':'function_call','call_id':'c2','name':'f','arguments':''},"
            "{'type':'function_call_output','call_id':'c2','output':'two'},"
            "{'type':'function_call_output','id':null,'call_id':'c1','output':[" TEXT("one") ","
             "{'type':'input_image','image_url':'data:image/png;base64,AAAA'}]}"),
         HEAD "'input':[" USER(TEXT("hi")) ",{'type':'message','role':'assistant','content':["
          SAID("I") "]},"
              "{'type':'function_call','call_id':'c1','name':'f','arguments':'{\\'a\\': 1.0}'},"
              "{'type':'function_call','call_id':'c2','name':'f','arguments':'{}'},"
              "{'type':'function_call_output','call_id':'c2','output':'two'},"
              "{'type':'function_call_output','call_id':'c1','output':[" TEXT("one") ","
               "{'type':'input_image','image_url':'data:image/png;base64,AAAA'}]}]" TAIL,
         ""},
        /* Free text; several texts become one; an id that is too long is the same one both
         times. */
        {IN("{'type':'custom_tool_call',"
         "'call_id':'0123456789012345678901234567890123456789012345678901234567890123456789',"
         "'name':'patch','input':'*** \\'x\\''},"
            "{'type':'custom_tool_call_output',"
             "'call_id':'0123456789012345678901234567890123456789012345678901234567890123456789',"
             "'output':[" TEXT("a") "," TEXT("b") "]}"),
         HEAD "'input':[{'type':'custom_tool_call','call_id':'call_e0e560a09ce4b460',"
          "'name':'patch','input':'*** \\'x\\''},"
              "{'type':'custom_tool_call_output','call_id':'call_e0e560a09ce4b460',"
               "'output':'a\\nb'}]" TAIL,
         ""},
        /* The local shell, by both of its ids. */
        {IN("{'type':'local_shell_call','id':'lsh_1','call_id':'c1','status':'completed',"
         "'action':{'type':'exec','command':['ls', '\\''],'env':{}}},"
            "{'type':'local_shell_call_output','id':'lsh_1','output':'x'},"
            "{'type':'local_shell_call','id':'lsh_2','action':{}},"
             "{'type':'local_shell_call_output','id':'lsh_2','output':''},"
            "{'type':'local_shell_call','call_id':'c3','action':{}},"
             "{'type':'function_call_output','call_id':'c3','output':'y'}"),
         HEAD "'input':[{'type':'function_call','call_id':'c1','name':'local_shell',"
          "'arguments':'{\\'type\\':\\'exec\\',\\'command\\':[\\'ls\\',\\'\\\\\\'\\'],"
          "\\'env\\':{}}'},"
              "{'type':'function_call_output','call_id':'c1','output':'x'},"
              "{'type':'function_call','call_id':'lsh_2','name':'local_shell','arguments':'{}'},"
               "{'type':'function_call_output','call_id':'lsh_2','output':''},"
              "{'type':'function_call','call_id':'c3','name':'local_shell','arguments':'{}'},"
               "{'type':'function_call_output','call_id':'c3','output':'y'}]" TAIL,
         ""},
        /* A call into a namespace. */
        {IN("{'type':'function_call','call_id':'c1','namespace':'ns','name':'f','arguments':'{}'}"
         ",{'type':'function_call_output','call_id':'c1','output':''}"),
         HEAD "'input':[{'type':'function_call','call_id':'c1','name':'ns__f','arguments':'{}'},"
          "{'type':'function_call_output','call_id':'c1','output':''}]" TAIL,
         ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_written(cases[i].body, &plain_target, cases[i].want, cases[i].drops);
}

#define F "{'type':'function','name':'f','parameters':{'type': 'object'}}"
#define F_OUT "{'type':'function','name':'f','parameters':{'type': 'object'},'strict':false}"
#define G "{'type':'custom','name':'g','description':'d','format':{'type':'text'}}"
#define G_OUT "{'type':'custom','name':'g','description':'d'}"

static void
test_request_tools(void **state)
{
    static const struct {
        const char *body, *want, *drops;
    } cases[] = {
        {ASK(",'tools':[],'tool_choice':'auto','parallel_tool_calls':true"), ASKED(""), ""},
        {ASK(",'tools':[" F ",{'type':'function','name':'h','description':'\\'',"
         "'parameters':null,'strict':true}],'parallel_tool_calls':false"),
         ASKED(",'tools':[" F_OUT ",{'type':'function','name':'h','description':'\\'',"
          "'parameters':null,'strict':true}],'parallel_tool_calls':false"), ""},
        {ASK(",'tools':[" G ",{'type':'custom','name':'k','format':{'type':'grammar',"
         "'syntax':'lark','definition':'x'}},"
             "{'type':'custom','name':'l','format':{'type':'grammar','grammar':{'definition':'x',"
              "'syntax':'regex'}}}]"),
         ASKED(",'tools':[" G_OUT ",{'type':'custom','name':'k','format':{'type':'grammar',"
          "'syntax':'lark','definition':'x'}},"
               "{'type':'custom','name':'l','format':{'type':'grammar','syntax':'regex',"
                "'definition':'x'}}]"), ""},
        {ASK(",'tools':[{'type':'local_shell'}],'tool_choice':{'type':'local_shell'}"),
         ASKED(",'tools':[{'type':'function','name':'local_shell',"
          "'description':'Runs a command on the machine of the user.',"
          "'parameters':{'type':'object','properties':{"
               "'command':{'type':'array','items':{'type':'string'}},"
                "'working_directory':{'type':'string'},'timeout_ms':{'type':'integer'},"
               "'env':{'type':'object','additionalProperties':{'type':'string'}},"
                "'user':{'type':'string'}},'required':['command']},'strict':false}],"
               "'tool_choice':{'type':'function','name':'local_shell'}"), ""},
        /* Hosted tools go, namespaces are unpacked. */
        {ASK(",'tools':[{'type':'web_search','external_web_access':false}," F ","
         "{'type':'namespace','name':'ns','description':'d','tools':[" F "," G "]}],"
         "'tool_choice':'required'"),
         ASKED(",'tools':[" F_OUT ",{'type':'function','name':'ns__f',"
          "'parameters':{'type': 'object'},'strict':false},{'type':'custom','name':'ns__g',"
          "'description':'d'}],'tool_choice':'required'"),
         "tools"},
        {ASK(",'tools':[" F "," G "],'tool_choice':'none'"), ASKED(",'tools':[" F_OUT "," G_OUT
         "],'tool_choice':'none'"), ""},
        {ASK(",'tools':[" F "," G "],'tool_choice':{'type':'function','name':'f'}"),
         ASKED(",'tools':[" F_OUT "," G_OUT "],'tool_choice':{'type':'function','name':'f'}"), ""},
        {ASK(",'tools':[" F "," G "],'tool_choice':{'type':'custom','name':'g'}"),
         ASKED(",'tools':[" F_OUT "," G_OUT "],'tool_choice':{'type':'custom','name':'g'}"), ""},
        {ASK(",'tools':[" F "," G "],'tool_choice':{'type':'allowed_tools','mode':'required',"
         "'tools':[{'type':'custom','name':'g'},{'type':'web_search'}]}"),
         ASKED(",'tools':[" G_OUT "],'tool_choice':'required'"), ""},
        {ASK(",'tools':[{'type':'namespace','name':'ns','tools':[" F "]}],"
         "'tool_choice':{'type':'function','name':'f'}"),
         ASKED(",'tools':[{'type':'function','name':'ns__f','parameters':{'type': 'object'},"
          "'strict':false}],'tool_choice':{'type':'function','name':'ns__f'}"), ""},
        /* A name that is not taken as it is. */
        {ASK(",'tools':[{'type':'function','name':'a.b'}]"),
         ASKED(",'tools':[{'type':'function','name':'ab_f4d4b10fb36a5f80','parameters':null,"
          "'strict':false}]"), ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_written(cases[i].body, &plain_target, cases[i].want, cases[i].drops);
}

static void
test_request_fields(void **state)
{
    static const struct {
        const char *body, *want, *drops;
    } cases[] = {
        {ASK(",'store':true,'metadata':{'a':'b'},'truncation':'auto','max_tool_calls':3,"
         "'prompt_cache_options':{'mode':'explicit'},'moderation':null,'x':1"),
         ASKED(""), "max_tool_calls, prompt_cache_options, x, store, metadata, truncation"},
        {ASK(",'store':false,'metadata':{},'truncation':'disabled','client_metadata':{'a':'b'},"
         "'stream_options':{'include_obfuscation':false},'background':false,"
             "'previous_response_id':null,'conversation':null,'prompt':null,'text':{},"
              "'reasoning':{},'include':null,'tools':null,'tool_choice':null"),
         ASKED(""), ""},
        {ASK(",'temperature':0.70,'top_p':1,'prompt_cache_key':'k','safety_identifier':'s',"
         "'user':'u','service_tier':'flex','max_output_tokens':100,'prompt_cache_retention':'24h'"),
         ASKED(",'max_output_tokens':100,'temperature':0.70,'top_p':1,'prompt_cache_key':'k',"
          "'prompt_cache_retention':'24h','service_tier':'flex','safety_identifier':'s'"), ""},
        {ASK(",'user':'u','max_output_tokens':3"), ASKED(",'max_output_tokens':16,'user':'u'"), ""},
        {ASK(",'user':'01234567890123456789012345678901234567890123456789012345678901234'"),
         ASKED(""), "user"},
        {ASK(",'text':{'format':{'type':'text'},'verbosity':'low'}"), ASKED(","
         "'text':{'verbosity':'low'}"), ""},
        {ASK(",'text':{'format':{'type':'json_object'}}"), ASKED(","
         "'text':{'format':{'type':'json_object'}}"), ""},
        {ASK(",'text':{'format':{'type':'json_schema','name':'n','schema':{'a':1},'strict':true,"
         "'description':'d'},'verbosity':null}"),
         ASKED(",'text':{'format':{'type':'json_schema','name':'n','description':'d',"
          "'schema':{'a':1},'strict':true}}"), ""},
        {ASK(",'reasoning':{'effort':'high'}"), ASKED(""), "reasoning"},
        {ASK(",'reasoning':{'effort':'none'}"), ASKED(""), ""},
        {ASK(",'include':['file_search_call.results','message.output_text.logprobs',"
         "'reasoning.encrypted_content'],'top_logprobs':2"),
         HEAD HI ",'store':false,'include':['message.output_text.logprobs'],'top_logprobs':2}",
          "include"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_written(cases[i].body, &plain_target, cases[i].want, cases[i].drops);
}

static void
test_request_targets(void **state)
{
    const struct chat_target thinks = {.model_json = STR("\"up\""), .tag = TAG, .can_think = true,
     .stream = true,
                                       .output_max = 50, .no_sampling = true};
#define THINKS ",'store':false,'include':['reasoning.encrypted_content'],'stream':true}"

    (void)state;
    check_written(ASK(",'max_output_tokens':100,'temperature':1,'top_p':0.5"), &thinks, HEAD HI
     ",'max_output_tokens':50" THINKS, "temperature, top_p");
    check_written(ASK(",'reasoning':{'summary':'auto'}"), &thinks, HEAD HI ","
     "'reasoning':{'summary':'auto'}" THINKS, "");
    check_written(ASK(",'reasoning':{'effort':'xhigh','summary':null,'context':'auto','mode':'x'}"
     ), &thinks,
                  HEAD HI ",'reasoning':{'effort':'xhigh'}" THINKS, "reasoning.context,"
                   " reasoning.mode");
    check_written(ASK(",'reasoning':{'effort':'low','generate_summary':'concise'}"), &thinks,
                  HEAD HI ",'reasoning':{'effort':'low','summary':'auto'}" THINKS, "");
    check_written(ASK(",'reasoning':{'effort':'none','summary':'auto'}"), &thinks, HEAD HI ","
     "'reasoning':{'effort':'none'}" THINKS, "");
}

static void
test_request_refused(void **state)
{
    static const struct {
        const char *body, *param, *what;
    } cases[] = {
        {"[]", "", "must be an object"},
        {"{'model':'m'}", "input", "must not be empty"},
        {"{'input':[]}", "input", "must not be empty"},
        {"{'input':7}", "input", "must be a string or a list"},
        {IN("7"), "input[0]", "must be an object"},
        {IN("{}"), "input[0]", "'type' is missing"},
        {IN("{'type':7}"), "input[0].type", "must be a string"},
        {IN("{'id':'msg_1'}"), "input[0]", "send the whole conversation"},
        {IN("{'type':'item_reference','id':'msg_1'}"), "input[0]", "send the whole conversation"},
        {IN("{'type':'compaction','encrypted_content':'x'}"), "input[0].type",
         "cannot be passed on"},
        {IN("{'type':'program'}"), "input[0].type", "cannot be passed on"},
        {IN("{'role':'tool','content':'x'}"), "input[0].role", "must be user"},
        {IN("{'role':7,'content':'x'}"), "input[0].role", "must be a string"},
        {IN("{'role':'user'}"), "input[0]", "'content' is missing"},
        {IN("{'role':'user','content':{}}"), "input[0].content", "must be a string or a list"},
        {IN("{'role':'user','content':[7]}"), "input[0].content[0]", "must be an object"},
        {IN("{'role':'user','content':[{}]}"), "input[0].content[0]", "'type' is missing"},
        {IN("{'role':'user','content':[{'type':'text','text':'x'}]}"), "input[0].content[0]"
         ".type", "must be input_text"},
        {IN("{'role':'user','content':[{'type':'output_text','text':'x'}]}"), "input[0]"
         ".content[0].type", "input_file or input_audio"},
        {IN("{'role':'assistant','content':[{'type':'input_text','text':'x'}]}"), "input[0]"
         ".content[0].type", "must be output_text"},
        {IN("{'role':'system','content':[{'type':'input_image','image_url':'https://x'}]}"),
         "input[0].content[0].type", "must be input_text"},
        {IN("{'role':'user','content':[{'type':'input_text'}]}"), "input[0].content[0]",
         "'text' is missing"},
        {IN("{'role':'user','content':[{'type':'input_text','text':[]}]}"), "input[0].content[0]"
         ".text", "must be a string"},
        {IN("{'role':'assistant','content':[{'type':'refusal'}]}"), "input[0].content[0]",
         "'refusal' is missing"},
        {IN("{'role':'user','content':[{'type':'input_image'}]}"), "input[0].content[0]",
         "'image_url' is missing"},
        {IN("{'role':'user','content':[{'type':'input_image','image_url':{'url':'x'}}]}"),
         "input[0].content[0].image_url", "must be a string"},
        {IN("{'role':'user','content':[{'type':'input_image','image_url':''}]}"), "input[0]"
         ".content[0].image_url", "must not be empty"},
        {IN("{'role':'user','content':[{'type':'input_image','image_url':'data:image/png,AA'}]}"
         ), "input[0].content[0].image_url", "is no data URL"},
        {IN("{'role':'user','content':[{'type':'input_image','image_url':'https://x','detail':1}]"
         "}"), "input[0].content[0].detail", "must be a string"},
        {IN("{'role':'user','content':[{'type':'input_image','file_id':'file_1'}]}"), "input[0]"
         ".content[0].file_id", "a file is not kept here"},
        {IN("{'role':'user','content':[{'type':'input_file','file_id':'file_1'}]}"), "input[0]"
         ".content[0].file_id", "a file is not kept here"},
        {IN("{'role':'user','content':[{'type':'input_file'}]}"), "input[0].content[0]",
         "'file_data' is missing"},
        {IN("{'role':'user','content':[{'type':'input_file','file_data':'AAAA'}]}"), "input[0]"
         ".content[0].file_data", "is no data URL"},
        {IN("{'role':'user','content':[{'type':'input_file','file_url':7}]}"), "input[0]"
         ".content[0].file_url", "must be a string"},
        {IN("{'role':'user','content':[{'type':'input_file','file_url':'https://x','filename':7}]"
         "}"), "input[0].content[0].filename", "must be a string"},
        {IN("{'role':'user','content':[{'type':'input_audio'}]}"), "input[0].content[0]",
         "'input_audio' is missing"},
        {IN("{'role':'user','content':[{'type':'input_audio','input_audio':{'format':'wav'}}]}"
         ), "input[0].content[0].input_audio", "'data' is missing"},
        {IN("{'role':'user','content':[{'type':'input_audio','input_audio':{'data':'AA',"
         "'format':'ogg'}}]}"), "input[0].content[0].input_audio.format", "must be wav or mp3"},
        {IN("{'type':'function_call','name':'f','arguments':'{}'}"), "input[0]",
         "'call_id' is missing"},
        {IN("{'type':'function_call','call_id':'','name':'f','arguments':'{}'}"), "input[0]"
         ".call_id", "must not be empty"},
        {IN("{'type':'function_call','call_id':'c','arguments':'{}'}"), "input[0]",
         "'name' is missing"},
        {IN("{'type':'function_call','call_id':'c','name':'f'}"), "input[0]",
         "'arguments' is missing"},
        {IN("{'type':'function_call','call_id':'c','name':'f','arguments':{}}"), "input[0]"
         ".arguments", "must be a string"},
        {IN("{'type':'function_call','call_id':'c','name':'f','arguments':'','namespace':7}"),
         "input[0].namespace", "must be a string"},
        {IN("{'type':'custom_tool_call','call_id':'c','name':'f'}"), "input[0]",
         "'input' is missing"},
        {IN("{'type':'local_shell_call','call_id':'c'}"), "input[0]", "'action' is missing"},
        {IN("{'type':'local_shell_call','call_id':'c','action':[]}"), "input[0].action",
         "must be an object"},
        {IN("{'type':'local_shell_call','action':{}}"), "input[0]", "'call_id' is missing"},
        {IN("{'type':'function_call_output','output':'x'}"), "input[0]", "'call_id' is missing"},
        {IN("{'type':'function_call_output','call_id':'c'}"), "input[0]", "'output' is missing"},
        {IN("{'type':'function_call_output','call_id':'c','output':7}"), "input[0].output",
         "must be a string or a list"},
        {IN("{'type':'function_call_output','call_id':'c','output':[{'type':'output_text',"
         "'text':'x'}]}"), "input[0].output[0].type", "input_image or input_file"},
        {IN("{'type':'function_call_output','call_id':'c','output':'x'}"), "input[0]",
         "answers no call"},
        {IN("{'type':'function_call','call_id':'c','name':'f','arguments':'{}'},{'role':'user',"
         "'content':'x'}"), "input[0]", "is missing"},
        {IN("{'type':'reasoning','summary':7}"), "input[0].summary", "must be a list"},
        {IN("{'type':'reasoning','summary':[7]}"), "input[0].summary[0]", "must be an object"},
        {IN("{'type':'reasoning','summary':[{'text':'a'},{'text':'b'},{}]}"), "input[0]"
         ".summary[2]", "'text' is missing"},
        {IN("{'type':'reasoning','summary':[],'encrypted_content':7}"), "input[0]"
         ".encrypted_content", "must be a string"},
        {ASK(",'instructions':[]"), "instructions", "must be a string"},
        {ASK(",'previous_response_id':'resp_1'"), "previous_response_id",
         "send the whole conversation"},
        {ASK(",'conversation':{'id':'c'}"), "conversation", "is not kept here"},
        {ASK(",'prompt':{'id':'p'}"), "prompt", "is not kept here"},
        {ASK(",'background':true"), "background", "is not kept here"},
        {ASK(",'background':1"), "background", "must be true or false"},
        {ASK(",'store':'x'"), "store", "must be true or false"},
        {ASK(",'metadata':[]"), "metadata", "must be an object"},
        {ASK(",'truncation':1"), "truncation", "must be a string"},
        {ASK(",'temperature':'1'"), "temperature", "must be a number"},
        {ASK(",'top_p':true"), "top_p", "must be a number"},
        {ASK(",'prompt_cache_key':1"), "prompt_cache_key", "must be a string"},
        {ASK(",'user':1"), "user", "must be a string"},
        {ASK(",'safety_identifier':1"), "safety_identifier", "must be a string"},
        {ASK(",'service_tier':1"), "service_tier", "must be a string"},
        {ASK(",'stream':1"), "stream", "must be true or false"},
        {ASK(",'stream_options':1"), "stream_options", "must be an object"},
        {ASK(",'parallel_tool_calls':1"), "parallel_tool_calls", "must be true or false"},
        {ASK(",'max_output_tokens':0"), "max_output_tokens", "must be a whole number"},
        {ASK(",'top_logprobs':21"), "top_logprobs", "must be a whole number"},
        {ASK(",'text':[]"), "text", "must be an object"},
        {ASK(",'text':{'verbosity':1}"), "text.verbosity", "must be a string"},
        {ASK(",'text':{'format':'json'}"), "text.format", "must be an object"},
        {ASK(",'text':{'format':{}}"), "text.format", "'type' is missing"},
        {ASK(",'text':{'format':{'type':'grammar'}}"), "text.format.type", "must be text"},
        {ASK(",'text':{'format':{'type':'json_schema','name':'n'}}"), "text.format",
         "'schema' is missing"},
        {ASK(",'text':{'format':{'type':'json_schema','schema':{}}}"), "text.format",
         "'name' is missing"},
        {ASK(",'text':{'format':{'type':'json_schema','name':'n','schema':[]}}"),
         "text.format.schema", "must be an object"},
        {ASK(",'text':{'format':{'type':'json_schema','name':'n','schema':{},'strict':1}}"),
         "text.format.strict", "must be true or false"},
        {ASK(",'text':{'format':{'type':'json_schema','name':'n','schema':{},'description':1}}"
         ), "text.format.description", "must be a string"},
        {ASK(",'reasoning':'high'"), "reasoning", "must be an object"},
        {ASK(",'reasoning':{'effort':1}"), "reasoning.effort", "must be a string"},
        {ASK(",'reasoning':{'effort':'big'}"), "reasoning.effort", "must be none"},
        {ASK(",'reasoning':{'summary':1}"), "reasoning.summary", "must be a string"},
        {ASK(",'include':'x'"), "include", "must be a list"},
        {ASK(",'include':[1]"), "include[0]", "must be a string"},
        {ASK(",'tools':{}"), "tools", "must be a list"},
        {ASK(",'tools':[1]"), "tools[0]", "must be an object"},
        {ASK(",'tools':[{}]"), "tools[0]", "'type' is missing"},
        {ASK(",'tools':[{'type':'function'}]"), "tools[0]", "'name' is missing"},
        {ASK(",'tools':[{'type':'function','function':{'name':'f'}}]"), "tools[0]",
         "'name' is missing"},
        {ASK(",'tools':[{'type':'function','name':''}]"), "tools[0].name", "must not be empty"},
        {ASK(",'tools':[{'type':'function','name':'f','description':1}]"), "tools[0]"
         ".description", "must be a string"},
        {ASK(",'tools':[{'type':'function','name':'f','parameters':[]}]"), "tools[0]"
         ".parameters", "must be an object"},
        {ASK(",'tools':[{'type':'function','name':'f','strict':1}]"), "tools[0].strict",
         "must be true or false"},
        {ASK(",'tools':[{'type':'custom','name':'f','format':'x'}]"), "tools[0].format",
         "must be an object"},
        {ASK(",'tools':[{'type':'namespace','name':'n'}]"), "tools[0]", "'tools' is missing"},
        {ASK(",'tools':[{'type':'namespace','name':'n','tools':[1]}]"), "tools[0].tools[0]",
         "must be an object"},
        {ASK(",'tools':[{'type':'namespace','name':'n','tools':[{'type':'namespace'}]}]"),
         "tools[0].tools[0].type", "cannot stand in another"},
        {ASK(",'tools':[{'type':'web_search'}]"), "tools[0]", "is its provider"},
        {ASK(",'tools':[" F "],'tool_choice':'any'"), "tool_choice", "must be auto"},
        {ASK(",'tools':[" F "],'tool_choice':7"), "tool_choice", "must be auto"},
        {ASK(",'tools':[" F "],'tool_choice':{}"), "tool_choice", "'type' is missing"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'web_search'}"), "tool_choice.type",
         "is its provider"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'function'}"), "tool_choice",
         "'name' is missing"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'function','name':'x'}"), "tool_choice",
         "no tool of the request"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'function','name':'f','namespace':'n'}"),
         "tool_choice", "no tool of the request"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'allowed_tools','mode':'auto'}"),
         "tool_choice", "'tools' is missing"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'allowed_tools','tools':[]}"),
         "tool_choice", "'mode' is missing"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'allowed_tools','mode':'x','tools':[]}"),
         "tool_choice.mode", "must be auto"},
        {ASK(",'tools':[" F "],'tool_choice':{'type':'allowed_tools','mode':'auto',"
         "'tools':[{'type':'function','name':'x'}]}"), "tool_choice.tools[0]",
         "no tool of the request"},
        {ASK(",'tool_choice':'required'"), "tool_choice", "no tool to be called"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_refused(cases[i].body, cases[i].param, cases[i].what);
}

/* As Codex sends it in its second turn: developer's messages, its tools, one of them hosted and one
 * in a namespace, a picture between texts, its reasoning and calls with ids. */
static void
test_request_codex(void **state)
{
    static const char body[] =
        "{'model':'m','stream':true,'store':false,'include':['reasoning.encrypted_content'],"
        "'reasoning':{'summary':'auto'},'tool_choice':'auto','parallel_tool_calls':true,"
        "'prompt_cache_key':'0199-session','client_metadata':{'x-codex-installation-id':'1'},"
        "'text':{'format':{'type':'json_schema','strict':true,'name':'codex_output_schema',"
        "'schema':{'type':'object'}}},"
        "'tools':[{'type':'function','name':'exec_command','description':'Runs.','strict':false,"
        "'parameters':{'type':'object','properties':{'cmd':{'type':'string'}}}},"
        "{'type':'namespace','name':'multi_agent_v1','description':'Agents.','tools':["
        "{'type':'function','name':'spawn','strict':false,'parameters':{'type':'object'}}]},"
        "{'type':'web_search','external_web_access':false}],"
        "'input':[{'type':'message','id':'msg_0','role':'developer','content':["
        "{'type':'input_text','text':'You are.'},{'type':'input_text','text':'Rules.'}]},"
        "{'type':'message','role':'user','id':'msg_1','content':["
        "{'type':'input_text','text':'<image>'},{'type':'input_image','detail':'high',"
        "'image_url':'data:image/png;base64,iVBO'},{'type':'input_text','text':'</image>'}]},"
        "{'type':'reasoning','id':'rs_1','summary':[{'type':'summary_text','text':'Look.'}],"
        "'content':null,'encrypted_content':'" TAG "gAAAAB'},"
        "{'type':'function_call','id':'fc_1','name':'exec_command','call_id':'call_1',"
        "'arguments':'{\\'cmd\\':\\'ls\\'}'},"
        "{'type':'function_call','id':'fc_2','name':'spawn','namespace':'multi_agent_v1',"
        "'call_id':'call_2','arguments':'{}'},"
        "{'type':'function_call_output','call_id':'call_1','output':'a.c\\n'},"
        "{'type':'function_call_output','call_id':'call_2','output':'ok'}]}";
    static const char want[] =
        "{'model':'up','input':[{'type':'message','role':'system','content':["
        "{'type':'input_text','text':'You are.'},{'type':'input_text','text':'Rules.'}]},"
        "{'type':'message','role':'user','content':["
        "{'type':'input_text','text':'<image>'},{'type':'input_image',"
        "'image_url':'data:image/png;base64,iVBO','detail':'high'},"
        "{'type':'input_text','text':'</image>'}]},"
        "{'type':'reasoning','summary':[{'type':'summary_text','text':'Look.'}],"
        "'encrypted_content':'gAAAAB'},"
        "{'type':'function_call','call_id':'call_1','name':'exec_command',"
        "'arguments':'{\\'cmd\\':\\'ls\\'}'},"
        "{'type':'function_call','call_id':'call_2','name':'multi_agent_v1__spawn',"
        "'arguments':'{}'},"
        "{'type':'function_call_output','call_id':'call_1','output':'a.c\\n'},"
        "{'type':'function_call_output','call_id':'call_2','output':'ok'}],"
        "'tools':[{'type':'function','name':'exec_command','description':'Runs.',"
        "'parameters':{'type':'object','properties':{'cmd':{'type':'string'}}},'strict':false},"
        "{'type':'function','name':'multi_agent_v1__spawn','parameters':{'type':'object'},"
        "'strict':false}],'tool_choice':'auto','reasoning':{'summary':'auto'},"
        "'text':{'format':{'type':'json_schema','name':'codex_output_schema',"
        "'schema':{'type':'object'},'strict':true}},'prompt_cache_key':'0199-session',"
        "'store':false,'include':['reasoning.encrypted_content'],'stream':true}";
    const struct chat_target target = {
        .model_json = STR("\"up\""), .tag = TAG, .can_think = true, .stream = true};

    (void)state;
    check_written(body, &target, want, "tools");
}

/* What decoders of the others make and this one does not: from parts put together by hand. */
static void
test_request_foreign(void **state)
{
    struct chat_part data = {.kind = CHAT_PART_TEXT, .text = chat_literal("none")};
    struct chat_part call = {.kind = CHAT_PART_CALL, .id = chat_literal("c"),
                             .tool_name = chat_literal("f"),
                             .arguments = {.type = JS_OBJECT, .raw = STR("{\"a\": 1}")}};
    struct chat_part result = {.kind = CHAT_PART_RESULT, .id = call.id, .is_error = true,
                               .content = &data, .call = &call};
    struct chat_part document = {.kind = CHAT_PART_DOCUMENT, .source = CHAT_SOURCE_TEXT,
                                 .text = chat_literal("plain")};
    struct chat_message tool = {.role = CHAT_TOOL, .parts = &result};
    struct chat_message assistant = {.next = &tool, .role = CHAT_ASSISTANT, .parts = &call};
    struct chat_message user = {.next = &assistant, .role = CHAT_USER, .parts = &document};
    struct chat_message system2 = {
        .next = &user, .role = CHAT_SYSTEM, .leading = true, .parts = &data};
    struct chat_message system = {
        .next = &system2, .role = CHAT_SYSTEM, .leading = true, .parts = &data};
    struct chat_drops drops = {.len = 0};
    struct proto_error error;
    struct js_value stop = chat_literal("x");
    struct arena arena;
    struct buf out;

    (void)state;
    arena_init(&arena, 1 << 20);
    buf_init(&out, 1 << 20);
    struct chat_request r = {.arena = &arena, .endpoint = ENDPOINT_MESSAGES, .messages = &system,
                             .choice_count = 1, .thinking = CHAT_THINKING_ON,
                             .thinking_budget = 5000, .format = CHAT_FORMAT_SCHEMA,
                             .schema = {.type = JS_OBJECT, .raw = STR("{}")}};
    r.knobs[CHAT_SEED] = (struct chat_field){{.type = JS_NUMBER, .raw = STR("1")}, "seed"};
    r.knobs[CHAT_TOP_K] = (struct chat_field){{.type = JS_NUMBER, .raw = STR("1")}, "top_k"};
    r.knobs[CHAT_SERVICE_TIER] = (struct chat_field){chat_literal("auto"), "service_tier"};
    r.knobs[CHAT_END_USER] = (struct chat_field){chat_literal("me"), "metadata.user_id"};
    struct chat_target target = plain_target;
    target.can_think = true;
    assert_true(responses_codec.request_write(&r, &target, &drops, &out, &error));
    assert_json(buf_str(&out),
                "{'model':'up','instructions':'none\\nnone','input':["
                "{'type':'message','role':'user','content':[{'type':'input_text','text':'plain'}]},"
                "{'type':'function_call','call_id':'c','name':'f','arguments':'{\\'a\\':1}'},"
                "{'type':'function_call_output','call_id':'c','output':'Error: none'}],"
                "'reasoning':{'effort':'medium'},"
                "'text':{'format':{'type':'json_schema','name':'response','schema':{}}},"
                "'user':'me','store':false,'include':['reasoning.encrypted_content']}");
    assert_str(((struct str){drops.text, drops.len}), "top_k, seed, service_tier");

    r.stops = &stop;
    r.stop_count = 1;
    assert_false(responses_codec.request_write(&r, &target, &drops, &out, &error));
    assert_non_null(strstr(error.message, "stop sequences"));
    r.stop_count = 0;
    r.choice_count = 2;
    assert_false(responses_codec.request_write(&r, &target, &drops, &out, &error));
    assert_non_null(strstr(error.message, "one answer only"));
    r.choice_count = 1;
    /* A buffer that is full is found at the end. */
    buf_free(&out);
    buf_init(&out, 100);
    assert_false(responses_codec.request_write(&r, &target, &drops, &out, &error));
    assert_int_equal(error.kind, ERROR_TOO_LARGE);
    buf_free(&out);
    arena_end(&arena);
}

/* A turn has no more calls than an answer can have. */
static void
test_request_many_calls(void **state)
{
    struct chat_drops drops;
    struct proto_error error;
    struct buf body, out;

    (void)state;
    buf_init(&body, 1 << 20);
    buf_add_str(&body, STR("{'input':["));
    for (unsigned i = 0; i <= CODEC_CALLS_MAX; i++)
        buf_add_fmt(&body, "%s{'type':'function_call','call_id':'c%u','name':'f','arguments':''}",
                    i > 0 ? "," : "", i);
    buf_add(&body, "]}", 3);
    assert_false(round_trip(body.ptr, &plain_target, &out, &drops, &error));
    assert_string_equal(error.param, "input[256]");
    buf_free(&out);
    buf_free(&body);
}

/* ---- answers of upstreams ---- */

static void
log_str(struct buf *log, const char *name, struct str text)
{
    if (text.ptr != NULL)
        buf_add_fmt(log, " %s=%.*s", name, STR_ARGS(text));
}

/* One line a delta. */
static void
log_delta(void *arg, const struct chat_delta *d)
{
    static const char *const kinds[] = {"start",     "text",     "reasoning", "signature",
                                        "refusal",   "call",     "arguments", "call-end",
                                        "ping",      "usage",    "finish",    "end"};
    struct buf *log = arg;

    buf_add_fmt(log, "%s", kinds[d->kind]);
    if (d->kind == CHAT_DELTA_CALL || d->kind == CHAT_DELTA_ARGUMENTS ||
        d->kind == CHAT_DELTA_CALL_END)
        buf_add_fmt(log, " %u", d->call);
    log_str(log, "id", d->id);
    log_str(log, "name", d->name);
    log_str(log, "space", d->space);
    if (d->tool != CHAT_TOOL_FUNCTION)
        buf_add_fmt(log, " tool=%d", d->tool);
    log_str(log, "t", d->text);
    if (d->logprobs.type == JS_ARRAY)
        log_str(log, "logprobs", d->logprobs.raw);
    if (d->redacted)
        buf_add_fmt(log, " redacted");
    if (d->kind == CHAT_DELTA_USAGE)
        buf_add_fmt(log, " %u+%u+%u %u/%u", d->usage->input, d->usage->cache_read,
                    d->usage->cache_write_5m, d->usage->output, d->usage->reasoning);
    if (d->kind == CHAT_DELTA_FINISH)
        buf_add_fmt(log, " %d", d->finish);
    buf_add_char(log, '\n');
}

/* Events are given as JSON, one a line; the type is in the JSON alone, or in the event's name. */
static bool
read_events(const char *lines, bool named, struct buf *log)
{
    char *text = json(lines);
    struct codec_reader reader = {
        .endpoint = ENDPOINT_RESPONSES, .on_delta = log_delta, .arg = log};
    struct str rest = str_from(text);
    bool good = true;

    buf_init(&reader.scratch, 1 << 20);
    while (good && rest.ptr != NULL && rest.len > 0) {
        struct page page;
        struct sse_event event = {.name = STR_NONE};
        struct js_value document;
        struct js_error fault;

        event.data = str_split(rest, '\n', &rest);
        page = page_make(event.data.ptr, event.data.len);
        event.data = page.text;
        if (named && js_check(event.data, &document, &fault))
            event.name = js_get(document, STR("type")).raw;
        reader.scratch.len = 0;
        good = responses_codec.event_read(&reader, &event);
        page_free(&page);
    }
    if (good)
        responses_codec.stream_end(&reader);
    buf_free(&reader.scratch);
    free(text);
    return good;
}

static void
check_events(const char *lines, const char *want)
{
    for (int named = 0; named < 2; named++) {
        struct buf log;

        buf_init(&log, 1 << 20);
        if (!read_events(lines, named == 1, &log))
            fail_msg("%s: broken", lines);
        assert_json(buf_str(&log), want);
        buf_free(&log);
    }
}

#define CREATED "{'type':'response.created','response':{'id':'resp_1','model':'up','output':[]}}\n"
#define USAGE                                                                                      \
    "'usage':{'input_tokens':120,'input_tokens_details':{'cached_tokens':40,"                      \
    "'cache_write_tokens':16},'output_tokens':33,'output_tokens_details':{'reasoning_tokens':12}," \
    "'total_tokens':153}"
#define COMPLETED(output)                                                                          \
    "{'type':'response.completed','response':{'id':'resp_1','status':'completed','output':["       \
    output "]," USAGE "}}\n"
#define STARTED "start id=resp_1 name=up\n"
#define ENDED(how) "usage 64+40+16 33/12\nfinish " how "\nend\n"
#define ADDED(index, item)                                                                         \
    "{'type':'response.output_item.added','output_index':" index ",'item':" item "}\n"
#define DONE(index, item)                                                                          \
    "{'type':'response.output_item.done','output_index':" index ",'item':" item "}\n"
#define EV(type, index, rest) "{'type':'response." type "','output_index':" index "," rest "}\n"
#define MESSAGE(parts) "{'type':'message','role':'assistant','content':[" parts "]}"
#define OUT(text) "{'type':'output_text','text':'" text "','annotations':[],'logprobs':[]}"
#define CALL(id, name, arguments)                                                                  \
    "{'type':'function_call','call_id':'" id "','name':'" name "','arguments':'" arguments "'}"

static void
test_events(void **state)
{
    (void)state;
    /* All of it, as the provider sends it. */
    check_events(
        CREATED "{'type':'response.in_progress','response':{'id':'x'}}\n"
        ADDED("0", "{'type':'reasoning','summary':[],'encrypted_content':'early'}")
        EV("reasoning_summary_part.added", "0", "'part':{'type':'summary_text','text':''}")
        EV("reasoning_summary_text.delta", "0", "'delta':'Ad'")
        EV("reasoning_summary_text.delta", "0", "'delta':'d.'")
        EV("reasoning_summary_text.done", "0", "'text':'Add.'")
        EV("reasoning_summary_part.done", "0", "'part':{'type':'summary_text','text':'Add.'}")
        EV("reasoning_summary_part.added", "0", "'part':{'type':'summary_text','text':''}")
        EV("reasoning_summary_text.delta", "0", "'delta':'B'")
        EV("reasoning_summary_text.done", "0", "'text':'B'")
        EV("reasoning_summary_part.done", "0", "'part':{'type':'summary_text','text':'B'}")
        DONE("0", "{'type':'reasoning','summary':[{'type':'summary_text','text':'Add.'},"
                  "{'type':'summary_text','text':'B'}],'encrypted_content':'AAAA'}")
        ADDED("1", MESSAGE(""))
        EV("content_part.added", "1", "'part':" OUT(""))
        EV("output_text.delta", "1", "'delta':'H\\u00e9\\n','logprobs':[],'obfuscation':'x'")
        EV("output_text.delta", "1", "'delta':'i','logprobs':[{'token':'i','logprob':-1}]")
        EV("output_text.annotation.added", "1", "'annotation':{}")
        EV("output_text.done", "1", "'text':'H\\u00e9\\ni'")
        EV("content_part.done", "1", "'part':" OUT("H\\u00e9\\ni"))
        DONE("1", MESSAGE(OUT("H\\u00e9\\ni")))
        ADDED("2", CALL("c1", "f", ""))
        EV("function_call_arguments.delta", "2", "'delta':'{\\'a\\''")
        EV("function_call_arguments.delta", "2", "'delta':':1}'")
        EV("function_call_arguments.done", "2", "'arguments':'{\\'a\\':1}'")
        DONE("2", CALL("c1", "f", "{\\'a\\':1}"))
        COMPLETED(MESSAGE(OUT("again")) "," CALL("c1", "f", "")) "[DONE]\n",
        STARTED "reasoning t=Ad\nreasoning t=d.\nreasoning t=\\n\\n\nreasoning t=B\n"
                "signature t=AAAA\n"
                "text t=H\\u00e9\\n\ntext t=i logprobs=[{'token':'i','logprob':-1}]\n"
                "call 0 id=c1 name=f\narguments 0 t={\\'a\\'\narguments 0 t=:1}\ncall-end 0\n"
        ENDED("2"));
    /* A refusal; reasoning that is not shown. */
    check_events(CREATED ADDED("0", "{'type':'reasoning','summary':[]}")
                 DONE("0", "{'type':'reasoning','summary':[],'encrypted_content':'AAAA'}")
                 EV("refusal.delta", "1", "'delta':'No'") EV("refusal.done", "1", "'refusal':'No'")
                 COMPLETED(""),
                 STARTED "signature t=AAAA redacted\nrefusal t=No\n" ENDED("6"));
    /* Raw reasoning. */
    check_events(CREATED ADDED("0", "{'type':'reasoning','summary':[]}")
                 EV("reasoning_text.delta", "0", "'delta':'R'")
                 EV("reasoning_text.done", "0", "'text':'R'")
                 DONE("0", "{'type':'reasoning','summary':[],'content':["
                           "{'type':'reasoning_text','text':'R'}]}")
                 EV("output_text.delta", "1", "'delta':'T'") COMPLETED(""),
                 STARTED "reasoning t=R\ntext t=T\n" ENDED("0"));
    /* Free text, a namespace, a local shell. */
    check_events(
        CREATED
        ADDED("0", "{'type':'custom_tool_call','call_id':'c1','name':'g','input':''}")
        EV("custom_tool_call_input.delta", "0", "'delta':'x'")
        EV("custom_tool_call_input.done", "0", "'input':'x'")
        DONE("0", "{'type':'custom_tool_call','call_id':'c1','name':'g','input':'x'}")
        ADDED("1", "{'type':'function_call','call_id':'c2','name':'f','namespace':'n',"
                   "'arguments':''}")
        DONE("1", "{'type':'function_call','call_id':'c2','name':'f','namespace':'n',"
                  "'arguments':'{}'}")
        ADDED("2", "{'type':'local_shell_call','call_id':'c3','action':{}}")
        DONE("2", "{'type':'local_shell_call','call_id':'c3','action':{'command': ['a']}}")
        COMPLETED(""),
        STARTED "call 0 id=c1 name=g tool=1\narguments 0 t=x\ncall-end 0\n"
                "call 1 id=c2 name=f space=n\narguments 1 t={}\ncall-end 1\n"
                "call 2 id=c3 name=local_shell tool=2\n"
                "arguments 2 t={\\'command\\':[\\'a\\']}\ncall-end 2\n"
        ENDED("2"));
    /* Calls and words that take turns, and all of the ends last. */
    check_events(CREATED ADDED("0", MESSAGE("")) EV("output_text.delta", "0", "'delta':'T'")
                 ADDED("1", CALL("a", "f", "")) ADDED("2", CALL("b", "g", ""))
                 EV("function_call_arguments.delta", "2", "'delta':'2'")
                 EV("function_call_arguments.delta", "1", "'delta':'1'")
                 EV("output_text.done", "0", "'text':'T'") DONE("0", MESSAGE(OUT("T")))
                 DONE("1", CALL("a", "f", "1")) DONE("2", CALL("b", "g", "2")) COMPLETED(""),
                 STARTED "text t=T\ncall 0 id=a name=f\ncall 1 id=b name=g\n"
                         "arguments 1 t=2\narguments 0 t=1\ncall-end 0\ncall-end 1\n"
                 ENDED("2"));
}

/* Each kind of end may be the first to say what is in it. */
static void
test_events_whole(void **state)
{
    static const char *const ways[] = {
        EV("output_text.done", "0", "'text':'T'"),
        EV("content_part.done", "0", "'part':" OUT("T")),
        DONE("0", MESSAGE(OUT("T"))),
        EV("output_text.done", "0", "'text':'T'") EV("content_part.done", "0", "'part':" OUT("T"))
        DONE("0", MESSAGE(OUT("T"))),
        "",
    };
    char lines[2000];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        snprintf(lines, sizeof lines, "%s%s%s", CREATED, ways[i], COMPLETED(MESSAGE(OUT("T"))));
        check_events(lines, STARTED "text t=T\n" ENDED("0"));
    }
    check_events(CREATED ADDED("0", CALL("a", "f", ""))
                 EV("function_call_arguments.done", "0", "'arguments':'{}'")
                 DONE("0", CALL("a", "f", "{}")) COMPLETED(""),
                 STARTED "call 0 id=a name=f\narguments 0 t={}\ncall-end 0\n" ENDED("2"));
    /* All places are the same; a name comes late; nothing but the response. */
    check_events(CREATED ADDED("0", CALL("a", "f", "")) DONE("0", CALL("a", "f", "1"))
                 ADDED("0", CALL("b", "g", "")) DONE("0", CALL("b", "g", "2")) COMPLETED(""),
                 STARTED "call 0 id=a name=f\narguments 0 t=1\ncall-end 0\n"
                         "call 1 id=b name=g\narguments 1 t=2\ncall-end 1\n" ENDED("2"));
    check_events(CREATED ADDED("0", "{'type':'function_call','call_id':'a','arguments':''}")
                 EV("function_call_arguments.delta", "0", "'delta':'{}'")
                 DONE("0", CALL("a", "f", "{}")) COMPLETED(""),
                 STARTED "call 0 id=a name=f\narguments 0 t={}\ncall-end 0\n" ENDED("2"));
    check_events("{'type':'response.completed','response':{'id':'resp_1','model':'up','output':["
                 "{'type':'reasoning','summary':[{'type':'summary_text','text':'a'},"
                 "{'type':'summary_text','text':'b'}],'encrypted_content':'S'},"
                 MESSAGE(OUT("T") ",{'type':'refusal','refusal':'N'}") ",{'type':'web_search_call'}"
                 "],'usage':null}}\n",
                 STARTED "reasoning t=a\nreasoning t=\\n\\n\nreasoning t=b\nsignature t=S\n"
                         "text t=T\nrefusal t=N\nfinish 6\nend\n");
    check_events(CREATED "{'type':'response.incomplete','response':{'incomplete_details':"
                         "{'reason':'max_output_tokens'}," USAGE "}}\n",
                 STARTED ENDED("3"));
    check_events(CREATED ADDED("0", CALL("a", "f", ""))
                 "{'type':'response.incomplete','response':{'incomplete_details':"
                 "{'reason':'content_filter'}," USAGE "}}\n",
                 STARTED "call 0 id=a name=f\n" ENDED("5"));
    /* Without its end. */
    check_events(CREATED EV("output_text.delta", "0", "'delta':'T'"),
                 STARTED "text t=T\nfinish 0\nend\n");
    check_events("", "start\nfinish 0\nend\n");
}

static void
test_events_broken(void **state)
{
    static const struct {
        const char *lines, *log;
    } cases[] = {
        {CREATED "{'type':'response.failed','response':{'status':'failed'," USAGE "}}\n",
         STARTED "usage 64+40+16 33/12\n"},
        {CREATED "{'type':'error','code':'server_error','message':'m'}\n", STARTED},
        {CREATED "{'type':'response.completed'}\n", STARTED},
        {CREATED DONE("0", "{'type':'function_call','call_id':'a'}"), STARTED},
        {CREATED "{'type':\n", STARTED},
        {CREATED "7\n", STARTED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf log;

        buf_init(&log, 1 << 20);
        assert_false(read_events(cases[i].lines, false, &log));
        assert_str(buf_str(&log), cases[i].log);
        buf_free(&log);
    }
}

static bool
read_whole(const char *body, struct buf *log)
{
    char *text = json(body);
    struct codec_reader reader = {
        .endpoint = ENDPOINT_RESPONSES, .on_delta = log_delta, .arg = log};
    struct js_value document;
    struct js_error fault;
    bool good;

    buf_init(&reader.scratch, 1 << 20);
    assert_true(js_check(str_from(text), &document, &fault));
    good = responses_codec.answer_read(&reader, document);
    buf_free(&reader.scratch);
    free(text);
    return good;
}

static void
test_whole_read(void **state)
{
    static const struct {
        const char *body, *want; /* NULL: it is no answer */
    } cases[] = {
        {"{'id':'resp_1','model':'up','status':'completed','output':["
         "{'id':'rs_1','type':'reasoning','summary':[{'type':'summary_text','text':'Add.'}],"
         "'encrypted_content':'AAAA'}," MESSAGE(OUT("Hi")) "," CALL("c1", "f", "{}") ","
         CALL("c2", "f", "") "]," USAGE "}",
         STARTED "reasoning t=Add.\nsignature t=AAAA\ntext t=Hi\n"
                 "call 0 id=c1 name=f\narguments 0 t={}\ncall-end 0\n"
                 "call 1 id=c2 name=f\ncall-end 1\n" ENDED("2")},
        {"{'status':'incomplete','incomplete_details':{'reason':'max_output_tokens'},'output':[]}",
         "start\nfinish 3\nend\n"},
        {"{'output':[" MESSAGE("{'type':'output_text','text':'a','logprobs':[1]}") "]}",
         "start\ntext t=a logprobs=[1]\nfinish 0\nend\n"},
        {"{'status':'failed','output':[]}", NULL},
        {"{'status':'in_progress','output':[]}", NULL},
        {"{'output':null}", NULL},
        {"[]", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf log;

        buf_init(&log, 1 << 20);
        assert_int_equal(read_whole(cases[i].body, &log), cases[i].want != NULL);
        if (cases[i].want != NULL)
            assert_json(buf_str(&log), cases[i].want);
        buf_free(&log);
    }
}

/* ---- answers to clients ---- */

static const struct chat_frame frame = {
    .id = STR("q7"), .model = STR("wanted"), .created_s = 1760000000, .include_encrypted = true,
    .tag = TAG};

/* What a client gets for deltas, one event a line: its data alone, after a look at its name and at
 * its number. */
static void
write_deltas(const struct chat_frame *with, const struct chat_delta *deltas, size_t count,
             struct buf *lines)
{
    struct codec_writer writer = {.frame = with};
    struct sse_event event;
    struct buf out;
    struct sse sse;
    uint64_t number = 0;

    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < count; i++)
        responses_codec.delta_write(&writer, &deltas[i], &out);
    assert_false(out.failed);
    assert_int_equal(writer.block_kind, 0);
    sse_init(&sse, 1 << 20);
    sse_feed(&sse, buf_str(&out));
    while (sse_next(&sse, &event) == 1) {
        struct js_value document, type, sequence;
        struct js_error fault;

        if (event.comment_only) {
            buf_add_str(lines, event.raw);
            continue;
        }
        assert_true(js_check(event.data, &document, &fault));
        type = js_get(document, STR("type"));
        sequence = js_get(document, STR("sequence_number"));
        assert_true(str_eq(type.raw, event.name));
        assert_int_equal(strtoull(sequence.raw.ptr, NULL, 10), number++);
        buf_add_str(lines, event.data);
        buf_add_char(lines, '\n');
    }
    assert_int_equal(writer.sequence, number);
    sse_free(&sse);
    buf_free(&out);
    buf_free(&writer.items);
    buf_free(&writer.open);
    buf_free(&writer.open2);
}

static void
check_deltas(const struct chat_frame *with, const struct chat_delta *deltas, size_t count,
             const char *want)
{
    struct buf lines;

    buf_init(&lines, 1 << 20);
    write_deltas(with, deltas, count, &lines);
    assert_json(buf_str(&lines), want);
    buf_free(&lines);
}
#define CHECK_DELTAS(with, deltas, want) check_deltas((with), (deltas), COUNT_OF(deltas), (want))

/* What a response repeats of a request that says nothing, and of others. */
#define ECHO(background, output_max, calls_max, parallel, cache_key, retention, reasoning, safety, \
             tier, store, temperature, text, choice, top_logprobs, top_p, truncation, user,        \
             metadata, tools, instructions)                                                        \
    "'background':" background ",'max_output_tokens':" output_max ",'max_tool_calls':" calls_max   \
    ",'parallel_tool_calls':" parallel ",'previous_response_id':null,'prompt_cache_key':" cache_key\
    ",'prompt_cache_retention':" retention ",'reasoning':" reasoning ",'safety_identifier':"       \
    safety ",'service_tier':" tier ",'store':" store ",'temperature':" temperature ",'text':" text \
    ",'tool_choice':" choice ",'top_logprobs':" top_logprobs ",'top_p':" top_p ",'truncation':"    \
    truncation ",'user':" user ",'metadata':" metadata ",'tools':" tools ",'instructions':"        \
    instructions
#define ECHO_NOTHING                                                                               \
    ECHO("false", "null", "null", "true", "null", "null", "{'effort':null,'summary':null}",        \
         "null", "'auto'", "false", "1", "{'format':{'type':'text'}}", "'auto'", "0", "1",         \
         "'disabled'", "null", "{}", "[]", "null")
#define RESPONSE(status, reason, model, output, usage)                                             \
    "{'id':'resp_q7','object':'response','created_at':1760000000,'status':'" status "',"           \
    "'error':null,'incomplete_details':" reason ",'model':'" model "','output':[" output "],"      \
    ECHO_NOTHING ",'usage':" usage "}"
#define EVENT(type, n, rest) "{'type':'response." type "','sequence_number':" n "," rest "}\n"
#define BEGUN(model)                                                                               \
    EVENT("created", "0", "'response':" RESPONSE("in_progress", "null", model, "", "null"))        \
    EVENT("in_progress", "1", "'response':" RESPONSE("in_progress", "null", model, "", "null"))
#define ITEM(type, n, index, item)                                                                 \
    EVENT("output_item." type, n, "'output_index':" index ",'item':" item)
#define PART(type, n, id, index, rest)                                                             \
    EVENT(type, n, "'item_id':'" id "','output_index':" index "," rest)
#define MSG(id, status, parts)                                                                     \
    "{'id':'" id "','type':'message','status':'" status "','role':'assistant','content':[" parts   \
    "]}"
#define RS(id, summary, rest) "{'id':'" id "','type':'reasoning','summary':[" summary "]" rest "}"
#define SUMMARY(text) "{'type':'summary_text','text':'" text "'}"
#define FC(id, status, call_id, arguments)                                                         \
    "{'id':'" id "','type':'function_call','status':'" status "','call_id':'" call_id "',"         \
    "'name':'f','arguments':'" arguments "'}"
#define COUNTS                                                                                     \
    "{'input_tokens':120,'input_tokens_details':{'cached_tokens':40,'cache_write_tokens':16},"     \
    "'output_tokens':33,'output_tokens_details':{'reasoning_tokens':12},'total_tokens':153}"

static const struct usage counts = {.state = USAGE_PRESENT, .input = 64, .cache_read = 40,
                                    .cache_write_5m = 10, .cache_write_1h = 6, .output = 33,
                                    .reasoning = 12};

#define D_START {.kind = CHAT_DELTA_START, .id = STR("x"), .name = STR("m")}
#define D_TEXT(t) {.kind = CHAT_DELTA_TEXT, .text = STR(t)}
#define D_CALL(i) {.kind = CHAT_DELTA_CALL, .id = STR(i), .name = STR("f")}
#define D_ARGS(t) {.kind = CHAT_DELTA_ARGUMENTS, .text = STR(t)}
#define D_FINISH(how) {.kind = CHAT_DELTA_FINISH, .finish = how}
#define D_END {.kind = CHAT_DELTA_END}

static void
test_stream_text(void **state)
{
    const struct chat_delta deltas[] = {
        D_START,
        {.kind = CHAT_DELTA_PING},
        D_TEXT("H\\u00e9"),
        D_TEXT(""),
        {.kind = CHAT_DELTA_USAGE, .usage = &counts},
        D_TEXT("\\n"),
        D_FINISH(CHAT_FINISH_STOP),
        D_END,
        D_TEXT("too late"),
    };

    (void)state;
    CHECK_DELTAS(&frame, deltas,
                 BEGUN("m") ": ping\n\n"
                 ITEM("added", "2", "0", MSG("msg_q7_0", "in_progress", ""))
                 PART("content_part.added", "3", "msg_q7_0", "0",
                      "'content_index':0,'part':" OUT(""))
                 PART("output_text.delta", "4", "msg_q7_0", "0",
                      "'content_index':0,'delta':'H\\u00e9','logprobs':[]")
                 PART("output_text.delta", "5", "msg_q7_0", "0",
                      "'content_index':0,'delta':'\\n','logprobs':[]")
                 PART("output_text.done", "6", "msg_q7_0", "0",
                      "'content_index':0,'text':'H\\u00e9\\n','logprobs':[]")
                 PART("content_part.done", "7", "msg_q7_0", "0",
                      "'content_index':0,'part':" OUT("H\\u00e9\\n"))
                 ITEM("done", "8", "0", MSG("msg_q7_0", "completed", OUT("H\\u00e9\\n")))
                 EVENT("completed", "9", "'response':" RESPONSE("completed", "null", "m",
                       MSG("msg_q7_0", "completed", OUT("H\\u00e9\\n")), COUNTS)));
}

static void
test_stream_reasoning(void **state)
{
    const struct chat_delta deltas[] = {
        D_START,
        {.kind = CHAT_DELTA_REASONING, .text = STR("A")},
        {.kind = CHAT_DELTA_REASONING, .text = STR("dd")},
        {.kind = CHAT_DELTA_SIGNATURE, .text = STR("SIG")},
        {.kind = CHAT_DELTA_SIGNATURE, .text = STR("RED"), .redacted = true},
        {.kind = CHAT_DELTA_REASONING, .text = STR("B")},
        D_CALL("c1"),
        {.kind = CHAT_DELTA_SIGNATURE, .text = STR("OF"), .of_call = true},
        D_ARGS("{}"),
        D_FINISH(CHAT_FINISH_CALLS),
        D_END,
    };
    struct chat_frame open = frame;

    (void)state;
#define RS0 RS("rs_q7_0", SUMMARY("Add"), ",'encrypted_content':'" TAG "SIG'")
#define RS1 RS("rs_q7_1", "", ",'encrypted_content':'" TAG "RED'")
#define RS2 RS("rs_q7_2", SUMMARY("B"), "")
#define RS3 RS("rs_q7_3", "", ",'encrypted_content':'" TAG "OF'")
    CHECK_DELTAS(&frame, deltas,
                 BEGUN("m") ITEM("added", "2", "0", RS("rs_q7_0", "", ""))
                 PART("reasoning_summary_part.added", "3", "rs_q7_0", "0",
                      "'summary_index':0,'part':" SUMMARY(""))
                 PART("reasoning_summary_text.delta", "4", "rs_q7_0", "0",
                      "'summary_index':0,'delta':'A'")
                 PART("reasoning_summary_text.delta", "5", "rs_q7_0", "0",
                      "'summary_index':0,'delta':'dd'")
                 PART("reasoning_summary_text.done", "6", "rs_q7_0", "0",
                      "'summary_index':0,'text':'Add'")
                 PART("reasoning_summary_part.done", "7", "rs_q7_0", "0",
                      "'summary_index':0,'part':" SUMMARY("Add"))
                 ITEM("done", "8", "0", RS0)
                 ITEM("added", "9", "1", RS("rs_q7_1", "", "")) ITEM("done", "10", "1", RS1)
                 ITEM("added", "11", "2", RS("rs_q7_2", "", ""))
                 PART("reasoning_summary_part.added", "12", "rs_q7_2", "2",
                      "'summary_index':0,'part':" SUMMARY(""))
                 PART("reasoning_summary_text.delta", "13", "rs_q7_2", "2",
                      "'summary_index':0,'delta':'B'")
                 PART("reasoning_summary_text.done", "14", "rs_q7_2", "2",
                      "'summary_index':0,'text':'B'")
                 PART("reasoning_summary_part.done", "15", "rs_q7_2", "2",
                      "'summary_index':0,'part':" SUMMARY("B"))
                 ITEM("done", "16", "2", RS2)
                 ITEM("added", "17", "3", RS("rs_q7_3", "", "")) ITEM("done", "18", "3", RS3)
                 ITEM("added", "19", "4", FC("fc_q7_4", "in_progress", "c1", ""))
                 PART("function_call_arguments.delta", "20", "fc_q7_4", "4", "'delta':'{}'")
                 PART("function_call_arguments.done", "21", "fc_q7_4", "4",
                      "'name':'f','arguments':'{}'")
                 ITEM("done", "22", "4", FC("fc_q7_4", "completed", "c1", "{}"))
                 EVENT("completed", "23", "'response':" RESPONSE("completed", "null", "m",
                       RS0 "," RS1 "," RS2 "," RS3 "," FC("fc_q7_4", "completed", "c1", "{}"),
                       "null")));
    /* Who did not ask for what is encrypted does not get it. */
    open.include_encrypted = false;
    check_deltas(&open, deltas + 4, 1, BEGUN("wanted"));
}

/* A call's signature comes before it, as Gemini has it, or behind its name. */
static void
test_stream_signed_calls(void **state)
{
    const struct chat_delta deltas[] = {
        D_START,
        {.kind = CHAT_DELTA_REASONING, .text = STR("Add")},
        {.kind = CHAT_DELTA_SIGNATURE, .text = STR("SIG"), .of_call = true},
        D_CALL("c1"),
        D_ARGS("{}"),
        {.kind = CHAT_DELTA_SIGNATURE, .text = STR("too late"), .of_call = true},
        {.kind = CHAT_DELTA_SIGNATURE, .text = STR("OF"), .of_call = true, .call = 1},
        {.kind = CHAT_DELTA_CALL, .call = 1, .id = STR("c2"), .name = STR("f")},
        D_END,
    };

    (void)state;
#define RS2_OF RS("rs_q7_2", "", ",'encrypted_content':'" TAG "OF'")
#define F1 FC("fc_q7_1", "completed", "c1", "{}")
#define F3 FC("fc_q7_3", "completed", "c2", "{}")
    CHECK_DELTAS(&frame, deltas,
                 BEGUN("m") ITEM("added", "2", "0", RS("rs_q7_0", "", ""))
                 PART("reasoning_summary_part.added", "3", "rs_q7_0", "0",
                      "'summary_index':0,'part':" SUMMARY(""))
                 PART("reasoning_summary_text.delta", "4", "rs_q7_0", "0",
                      "'summary_index':0,'delta':'Add'")
                 PART("reasoning_summary_text.done", "5", "rs_q7_0", "0",
                      "'summary_index':0,'text':'Add'")
                 PART("reasoning_summary_part.done", "6", "rs_q7_0", "0",
                      "'summary_index':0,'part':" SUMMARY("Add"))
                 ITEM("done", "7", "0", RS0)
                 ITEM("added", "8", "1", FC("fc_q7_1", "in_progress", "c1", ""))
                 PART("function_call_arguments.delta", "9", "fc_q7_1", "1", "'delta':'{}'")
                 PART("function_call_arguments.done", "10", "fc_q7_1", "1",
                      "'name':'f','arguments':'{}'")
                 ITEM("done", "11", "1", F1)
                 ITEM("added", "12", "2", RS("rs_q7_2", "", "")) ITEM("done", "13", "2", RS2_OF)
                 ITEM("added", "14", "3", FC("fc_q7_3", "in_progress", "c2", ""))
                 PART("function_call_arguments.delta", "15", "fc_q7_3", "3", "'delta':'{}'")
                 PART("function_call_arguments.done", "16", "fc_q7_3", "3",
                      "'name':'f','arguments':'{}'")
                 ITEM("done", "17", "3", F3)
                 EVENT("completed", "18", "'response':" RESPONSE("completed", "null", "m",
                       RS0 "," F1 "," RS2_OF "," F3, "null")));
}

static void
test_stream_calls(void **state)
{
    const struct chat_delta deltas[] = {
        D_TEXT("T"),
        D_CALL(""),
        D_ARGS("{\\\"a\\\""),
        D_ARGS(":1}"),
        {.kind = CHAT_DELTA_CALL_END},
        {.kind = CHAT_DELTA_CALL_END},
        D_CALL("c2"),
        {.kind = CHAT_DELTA_CALL, .id = STR("c3"), .name = STR("g"), .space = STR("ns"),
         .tool = CHAT_TOOL_CUSTOM},
        D_ARGS("x\\n"),
        {.kind = CHAT_DELTA_CALL, .id = STR("c4"), .name = STR("local_shell"),
         .tool = CHAT_TOOL_LOCAL_SHELL},
        D_ARGS("{\\\"command\\\": [\\\"l\\\"],"),
        D_ARGS("\\\"timeout_ms\\\":5,\\\"user\\\":7}"),
        D_FINISH(CHAT_FINISH_LENGTH),
        D_END,
    };

    (void)state;
#define M0 MSG("msg_q7_0", "completed", OUT("T"))
#define C1 FC("fc_q7_1", "completed", "call_q7_0", "{\\'a\\':1}")
#define C2 FC("fc_q7_2", "completed", "c2", "{}")
#define C3(status, input)                                                                          \
    "{'id':'ctc_q7_3','type':'custom_tool_call','status':'" status "','call_id':'c3','name':'g',"  \
    "'namespace':'ns','input':'" input "'}"
#define C4(status, command, timeout)                                                               \
    "{'id':'lsh_q7_4','type':'local_shell_call','status':'" status "','call_id':'c4','action':{"   \
    "'type':'exec','command':[" command "],'env':{},'working_directory':null,"                     \
    "'timeout_ms':" timeout ",'user':null}}"
    CHECK_DELTAS(&frame, deltas,
                 BEGUN("wanted") ITEM("added", "2", "0", MSG("msg_q7_0", "in_progress", ""))
                 PART("content_part.added", "3", "msg_q7_0", "0",
                      "'content_index':0,'part':" OUT(""))
                 PART("output_text.delta", "4", "msg_q7_0", "0",
                      "'content_index':0,'delta':'T','logprobs':[]")
                 PART("output_text.done", "5", "msg_q7_0", "0",
                      "'content_index':0,'text':'T','logprobs':[]")
                 PART("content_part.done", "6", "msg_q7_0", "0",
                      "'content_index':0,'part':" OUT("T"))
                 ITEM("done", "7", "0", M0)
                 ITEM("added", "8", "1", FC("fc_q7_1", "in_progress", "call_q7_0", ""))
                 PART("function_call_arguments.delta", "9", "fc_q7_1", "1", "'delta':'{\\'a\\''")
                 PART("function_call_arguments.delta", "10", "fc_q7_1", "1", "'delta':':1}'")
                 PART("function_call_arguments.done", "11", "fc_q7_1", "1",
                      "'name':'f','arguments':'{\\'a\\':1}'")
                 ITEM("done", "12", "1", C1)
                 ITEM("added", "13", "2", FC("fc_q7_2", "in_progress", "c2", ""))
                 PART("function_call_arguments.delta", "14", "fc_q7_2", "2", "'delta':'{}'")
                 PART("function_call_arguments.done", "15", "fc_q7_2", "2",
                      "'name':'f','arguments':'{}'")
                 ITEM("done", "16", "2", C2)
                 ITEM("added", "17", "3", C3("in_progress", ""))
                 PART("custom_tool_call_input.delta", "18", "ctc_q7_3", "3", "'delta':'x\\n'")
                 PART("custom_tool_call_input.done", "19", "ctc_q7_3", "3", "'input':'x\\n'")
                 ITEM("done", "20", "3", C3("completed", "x\\n"))
                 ITEM("added", "21", "4", C4("in_progress", "", "null"))
                 ITEM("done", "22", "4", C4("incomplete", "'l'", "5"))
                 EVENT("incomplete", "23", "'response':" RESPONSE("incomplete",
                       "{'reason':'max_output_tokens'}", "wanted",
                       M0 "," C1 "," C2 "," C3("completed", "x\\n") ","
                       C4("incomplete", "'l'", "5"), "null")));
}

static void
test_stream_others(void **state)
{
    const struct js_value logprobs = {.type = JS_ARRAY, .raw = STR("[{\"token\":\"a\"}]")};
    const struct chat_delta deltas[] = {
        {.kind = CHAT_DELTA_TEXT, .text = STR("a"), .logprobs = logprobs},
        {.kind = CHAT_DELTA_TEXT, .text = STR("a"), .logprobs = logprobs},
        {.kind = CHAT_DELTA_TEXT, .text = STR("b"), .choice = 1},
        {.kind = CHAT_DELTA_REFUSAL, .text = STR("No")},
        D_FINISH(CHAT_FINISH_FILTER),
        D_END,
    };

    (void)state;
#define LOG "{'token':'a'}"
#define AA "{'type':'output_text','text':'aa','annotations':[],'logprobs':[" LOG "," LOG "]}"
#define NO(text) "{'type':'refusal','refusal':'" text "'}"
    CHECK_DELTAS(&frame, deltas,
                 BEGUN("wanted") ITEM("added", "2", "0", MSG("msg_q7_0", "in_progress", ""))
                 PART("content_part.added", "3", "msg_q7_0", "0",
                      "'content_index':0,'part':" OUT(""))
                 PART("output_text.delta", "4", "msg_q7_0", "0",
                      "'content_index':0,'delta':'a','logprobs':[" LOG "]")
                 PART("output_text.delta", "5", "msg_q7_0", "0",
                      "'content_index':0,'delta':'a','logprobs':[" LOG "]")
                 PART("output_text.done", "6", "msg_q7_0", "0",
                      "'content_index':0,'text':'aa','logprobs':[" LOG "," LOG "]")
                 PART("content_part.done", "7", "msg_q7_0", "0", "'content_index':0,'part':" AA)
                 ITEM("done", "8", "0", MSG("msg_q7_0", "completed", AA))
                 ITEM("added", "9", "1", MSG("msg_q7_1", "in_progress", ""))
                 PART("content_part.added", "10", "msg_q7_1", "1",
                      "'content_index':0,'part':" NO(""))
                 PART("refusal.delta", "11", "msg_q7_1", "1", "'content_index':0,'delta':'No'")
                 PART("refusal.done", "12", "msg_q7_1", "1", "'content_index':0,'refusal':'No'")
                 PART("content_part.done", "13", "msg_q7_1", "1",
                      "'content_index':0,'part':" NO("No"))
                 ITEM("done", "14", "1", MSG("msg_q7_1", "incomplete", NO("No")))
                 EVENT("incomplete", "15", "'response':" RESPONSE("incomplete",
                       "{'reason':'content_filter'}", "wanted",
                       MSG("msg_q7_0", "completed", AA) ","
                       MSG("msg_q7_1", "incomplete", NO("No")), "null")));
}

/* What does not fit is not sent in part without a word. */
static void
test_stream_too_large(void **state)
{
    const struct chat_delta text = D_TEXT("0123456789");
    struct codec_writer writer = {.frame = &frame};
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    buf_init(&writer.items, 1 << 20);
    buf_init(&writer.open, 15);
    buf_init(&writer.open2, 1 << 20);
    responses_codec.delta_write(&writer, &text, &out);
    assert_false(out.failed);
    responses_codec.delta_write(&writer, &text, &out);
    assert_true(out.failed);
    buf_free(&out);
    buf_free(&writer.items);
    buf_free(&writer.open);
    buf_free(&writer.open2);
}

static void
test_whole_written(void **state)
{
    struct chat_part shell = {.kind = CHAT_PART_CALL, .tool = CHAT_TOOL_LOCAL_SHELL,
                              .id = chat_literal("c4"), .tool_name = chat_literal("local_shell"),
                              .arguments = chat_literal("nonsense")};
    struct chat_part custom = {.next = &shell, .kind = CHAT_PART_CALL, .tool = CHAT_TOOL_CUSTOM,
                               .id = chat_literal("c3"), .tool_name = chat_literal("g"),
                               .space = chat_literal("ns"), .arguments = chat_literal("x")};
    struct chat_part call = {.next = &custom, .kind = CHAT_PART_CALL,
                             .tool_name = chat_literal("f"), .arguments = chat_literal(""),
                             .signature = chat_literal("OF")};
    struct chat_part refusal = {.next = &call, .kind = CHAT_PART_REFUSAL,
                                .text = chat_literal("No")};
    struct chat_part text = {.next = &refusal, .kind = CHAT_PART_TEXT, .text = chat_literal("T")};
    struct chat_part redacted = {.next = &text, .kind = CHAT_PART_REASONING, .redacted = true,
                                 .signature = chat_literal("RED")};
    struct chat_part reasoning = {.next = &redacted, .kind = CHAT_PART_REASONING,
                                  .text = chat_literal("Add"), .signature = chat_literal("SIG")};
    struct chat_answer_choice choice = {
        .parts = &reasoning, .finish = CHAT_FINISH_CALLS,
        .logprobs = {.type = JS_ARRAY, .raw = STR("[{\"token\":\"a\"}]")}};
    struct chat_answer answer = {.model = chat_literal("m"), .choices = &choice, .usage = counts};
    struct chat_frame closed = frame;
    struct buf out;

    (void)state;
#define W_TEXT(rest) "{'type':'output_text','text':'T','annotations':[],'logprobs':[" rest "]}"
#define W_CALLS(n3, n4, n5)                                                                        \
    FC("fc_q7_" n3, "completed", "call_q7_0", "{}") ",{'id':'ctc_q7_" n4 "',"                      \
    "'type':'custom_tool_call','status':'completed','call_id':'c3','name':'g','namespace':'ns',"   \
    "'input':'x'},{'id':'lsh_q7_" n5 "','type':'local_shell_call','status':'completed',"           \
    "'call_id':'c4','action':{'type':'exec','command':[],'env':{},'working_directory':null,"       \
    "'timeout_ms':null,'user':null}}"
    buf_init(&out, 1 << 20);
    responses_codec.answer_write(&answer, &frame, &out);
    assert_json(buf_str(&out),
                RESPONSE("completed", "null", "m",
                         RS0 "," RS1 "," MSG("msg_q7_2", "completed", W_TEXT(LOG) "," NO("No")) ","
                         RS3 "," W_CALLS("4", "5", "6"), COUNTS));
    /* Reasoning without a signature is kept with its call's. */
    reasoning.next = &call;
    reasoning.signature = (struct js_value){.type = JS_NONE};
    call.next = NULL;
    call.signature = chat_literal("SIG");
    out.len = 0;
    responses_codec.answer_write(&answer, &frame, &out);
    assert_json(buf_str(&out),
                RESPONSE("completed", "null", "m",
                         RS0 "," FC("fc_q7_1", "completed", "call_q7_0", "{}"), COUNTS));
    reasoning.next = &redacted;
    /* Without what is encrypted; cut by a limit; nothing known of model and usage. */
    closed.include_encrypted = false;
    refusal.next = NULL;
    choice.finish = CHAT_FINISH_LENGTH;
    choice.logprobs.type = JS_NONE;
    answer.model.type = JS_NONE;
    answer.model.raw = STR_NONE;
    answer.usage.state = USAGE_BAD;
    out.len = 0;
    responses_codec.answer_write(&answer, &closed, &out);
    assert_json(buf_str(&out),
                RESPONSE("incomplete", "{'reason':'max_output_tokens'}", "wanted",
                         RS("rs_q7_0", SUMMARY("Add"), "") ","
                         MSG("msg_q7_1", "incomplete", W_TEXT("") "," NO("No")), "null"));
    buf_free(&out);
    buf_init(&out, 200);
    responses_codec.answer_write(&answer, &closed, &out);
    assert_true(out.failed);
    buf_free(&out);
}

/* ---- what answers repeat of the request ---- */

static void
check_echo(const char *body, const char *want)
{
    char *text = json(body);
    struct js_value document;
    struct js_error fault;
    struct buf out;

    if (!js_check(str_from(text), &document, &fault))
        fail_msg("%s: %s", body, fault.what);
    buf_init(&out, CODEC_ECHO_BYTES_MAX);
    responses_codec.echo_write(document, &out);
    assert_false(out.failed);
    assert_json(buf_str(&out), want);
    buf_free(&out);
    free(text);
}

static void
test_echo(void **state)
{
    (void)state;
    check_echo("{}", ECHO_NOTHING);
    check_echo("{'model':'m','input':'hi','instructions':null,'tools':null,'text':{},"
               "'reasoning':{},'temperature':null,'metadata':null,'stream':true}",
               ECHO_NOTHING);
    /* All that there is, as it stands: but for white space, where a line would end an event. */
    check_echo("{'background':false,'max_output_tokens':100,'max_tool_calls':3,"
               "'parallel_tool_calls':false,'previous_response_id':null,'prompt_cache_key':'k\\u00e9',"
               "'prompt_cache_retention':'24h','reasoning':{'summary':'auto','effort':'low'},"
               "'safety_identifier':'s','service_tier':'flex','store':true,'temperature':0.50,"
               "'text':{'verbosity':'low','format':{'type':'json_schema','name':'n',\n"
               "  'schema':{'type': 'object'}, 'strict':true}},"
               "'tool_choice':{'type':'function', 'name':'f'},'top_logprobs':2,'top_p':1e-1,"
               "'truncation':'auto','user':'u','metadata':{'a b':'c\\td'},"
               "'tools':[{'type':'function',\r\n\t'name':'f','parameters':{'a': [1, 2]}}],"
               "'instructions':'Be\\n \\'brief\\'.'}",
               ECHO("false", "100", "3", "false", "'k\\u00e9'", "'24h'",
                    "{'effort':'low','summary':'auto'}", "'s'", "'flex'", "true", "0.50",
                    "{'format':{'type':'json_schema','name':'n','schema':{'type':'object'},"
                    "'strict':true},'verbosity':'low'}",
                    "{'type':'function','name':'f'}", "2", "1e-1", "'auto'", "'u'",
                    "{'a b':'c\\td'}",
                    "[{'type':'function','name':'f','parameters':{'a':[1,2]}}]",
                    "'Be\\n \\'brief\\'.'"));
    /* Of several of one name the last one, as everywhere; a wrong type says nothing. */
    check_echo("{'temperature':1,'temperature':2,'top_p':'x','tools':{},'metadata':[],'user':7,"
               "'text':{'format':7,'verbosity':'low','verbosity':'high'},"
               "'reasoning':{'effort':1,'mode':'pro','context':'auto','generate_summary':'auto'}}",
               ECHO("false", "null", "null", "true", "null", "null",
                    "{'effort':null,'summary':null,'generate_summary':'auto','context':'auto',"
                    "'mode':'pro'}",
                    "null", "'auto'", "false", "2",
                    "{'format':{'type':'text'},'verbosity':'high'}", "'auto'", "0", "1",
                    "'disabled'", "null", "{}", "[]", "null"));
}

/* What there is no room for is told as if nothing had been said of it; the small ones come first. */
static void
test_echo_too_large(void **state)
{
    size_t len = CODEC_ECHO_BYTES_MAX;
    struct js_value document;
    struct js_error fault;
    struct buf body, out;

    (void)state;
    buf_init(&body, 2 * len);
    buf_add_str(&body, STR("{\"instructions\":\""));
    for (size_t i = 0; i < len; i++)
        buf_add_char(&body, 'x');
    buf_add_str(&body, STR("\",\"tools\":[],\"user\":\"u\"}"));
    assert_true(js_check(buf_str(&body), &document, &fault));
    buf_init(&out, CODEC_ECHO_BYTES_MAX);
    responses_codec.echo_write(document, &out);
    assert_false(out.failed);
    assert_json(buf_str(&out),
                ECHO("false", "null", "null", "true", "null", "null",
                     "{'effort':null,'summary':null}", "null", "'auto'", "false", "1",
                     "{'format':{'type':'text'}}", "'auto'", "0", "1", "'disabled'", "'u'", "{}",
                     "[]", "null"));
    buf_free(&out);
    buf_free(&body);
}

/* It is in every response of a stream, and in a whole one. */
static void
test_echo_told(void **state)
{
    const struct chat_delta deltas[] = {D_START, D_FINISH(CHAT_FINISH_STOP), D_END};
    struct chat_answer_choice choice = {.finish = CHAT_FINISH_STOP};
    struct chat_answer answer = {.model = chat_literal("m"), .choices = &choice};
    struct chat_frame with = frame;
    struct buf out;

    (void)state;
    with.echo = STR("\"user\":\"u\",\"tools\":[1]");
#define ECHOED(status)                                                                             \
    "{'id':'resp_q7','object':'response','created_at':1760000000,'status':'" status "',"           \
    "'error':null,'incomplete_details':null,'model':'m','output':[],'user':'u','tools':[1],"       \
    "'usage':null}"
    CHECK_DELTAS(&with, deltas,
                 EVENT("created", "0", "'response':" ECHOED("in_progress"))
                 EVENT("in_progress", "1", "'response':" ECHOED("in_progress"))
                 EVENT("completed", "2", "'response':" ECHOED("completed")));
    buf_init(&out, 1 << 20);
    responses_codec.answer_write(&answer, &with, &out);
    assert_json(buf_str(&out), ECHOED("completed"));
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_input),
        cmocka_unit_test(test_request_calls),
        cmocka_unit_test(test_request_tools),
        cmocka_unit_test(test_request_fields),
        cmocka_unit_test(test_request_targets),
        cmocka_unit_test(test_request_refused),
        cmocka_unit_test(test_request_codex),
        cmocka_unit_test(test_request_foreign),
        cmocka_unit_test(test_request_many_calls),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_whole),
        cmocka_unit_test(test_events_broken),
        cmocka_unit_test(test_whole_read),
        cmocka_unit_test(test_stream_text),
        cmocka_unit_test(test_stream_reasoning),
        cmocka_unit_test(test_stream_signed_calls),
        cmocka_unit_test(test_stream_calls),
        cmocka_unit_test(test_stream_others),
        cmocka_unit_test(test_stream_too_large),
        cmocka_unit_test(test_whole_written),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_echo_too_large),
        cmocka_unit_test(test_echo_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
