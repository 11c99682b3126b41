/*
 * What the files of this room share: the worker, a client connection, an upstream connection, a
 * call. Nobody outside worker/ includes it.
 *
 * Who owns what:
 *   worker   the process: loop, tables, pools, lists. Lives until exit.
 *   client   a client's connection (client.c); from a slab, given back in its conn's on_closed.
 *   uconn    an upstream's connection (uconn.c); likewise. Belongs to a pool, is lent to one call.
 *   call     one request that goes upstream (call.c and its neighbours); from a slab, ended by
 *            call_end() and nowhere else. It holds its request's bytes through its client, which
 *            keeps them until call_end() or call_forget_request().
 *
 * The pointers client->call, call->client, call->uconn and uconn->call are set and cleared in
 * pairs.
 */
#ifndef WORKER_ROOM_H
#define WORKER_ROOM_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/slab.h"
#include "net/conn.h"
#include "net/h1_req.h"
#include "net/h1_res.h"
#include "net/h1_write.h"
#include "net/listen.h"
#include "net/net.h"
#include "net/tls.h"
#include "proto/ask.h"
#include "proto/error.h"
#include "proto/meter.h"
#include "proto/proto.h"
#include "proto/sse.h"
#include "route/key.h"
#include "route/route.h"
#include "shm/call_id.h"
#include "shm/hold.h"
#include "shm/idem.h"
#include "shm/key.h"
#include "shm/peers.h"
#include "shm/refusal.h"
#include "shm/stats.h"
#include "worker/turns.h"
#include "worker/worker.h"

#define CALL_EXTENSIONS_MAX 6
#define HEAD_BYTES_MAX (96u << 10) /* of any head that we write */
#define AUTH_FAILURE_SLOTS 4096
#define CLIENT_KEY_BYTES 64

struct front;
struct front_ask;
struct health;
struct kept_call;
struct own_query;
struct probe;
struct scrape;
struct speech;
struct tunnel;

/* A credential of an upstream as this worker has it. */
struct credential {
    const struct conf_credential *conf;
    struct health *health; /* shared; NULL when there is no room for its line */
    uint32_t secret_mark;
    uint32_t waiting;      /* calls in this worker's queue that it could serve */
    uint32_t full_run;     /* the look at the queue that found it at its limits */
    uint32_t crowd_run;    /* the same, for calls of tenants with several waiting */
    uint64_t room_us;      /* monotonic, when time makes room again, as it was found last */
    uint64_t quiet_us;     /* monotonic, when a tenant with one call waiting last came past others */
};

/* An upstream as this worker has it: the pool of its connections. */
struct pool {
    struct worker *worker;
    const struct conf_upstream *conf;
    struct tls_client *tls;  /* NULL: plain */
    struct credential *credentials; /* as many as conf has */
    uint16_t name_id;
    struct list idle;        /* most recently used first */
    uint32_t idle_count, open_count;
    /* This worker's share of max-connections. A count over all workers would keep what a worker that
     * was killed had open. */
    uint32_t open_max;
    struct probe *probe; /* NULL: it is not probed */
};

/* queue.c's own. */
struct queue {
    struct turns turns;
    struct wheel_timer timer;
    uint32_t run;     /* counts looks */
    bool handed_over; /* the look is because a call of our own left room */
    uint64_t wait_us; /* until something may have room again, as the last look found */
};

struct worker {
    const struct worker_inherit *inherit;
    const struct conf *conf;
    const struct conf_limits *limits;
    struct region *region;
    struct region_table *table;
    _Atomic uint64_t *stats;
    struct refusal_ring *refusals; /* NULL: none */
    struct net net;
    struct hold_table holds;
    struct route_table *routes;
    struct h1_limits request_limits, answer_limits;
    struct h1_head request_head, answer_head; /* scratch, valid within one callback */
    struct h1_date date;
    struct slab clients_slab, uconns_slab, calls_slab;
    struct list clients, calls;
    /* crowd.c's: connections that count, and those beside them. */
    struct list spares;
    uint32_t connection_count, connections_max, spare_count, metrics_count, calls_max;
    struct list waiting; /* calls that wait for the ledger process */
    struct queue queue;  /* calls that wait for room in the providers' limits */
    struct pool *pools;  /* by upstream index */
    struct front *front; /* what is of the management API */
    struct credential *credentials; /* by their numbers over all upstreams */
    struct route_health *health;    /* likewise; as of health_ms */
    uint64_t health_ms;
    /* Name ids by index of the configuration, and the way back for channels. */
    uint16_t *model_name, *family_name, *channel_name, *rule_name;
    struct route_names channel_names; /* by name id */
    struct tls_server *tls_server;
    struct tls_client **tls_clients; /* one a CA file */
    const char **tls_client_ca;
    unsigned tls_client_count;
    struct listener listeners[16];
    unsigned listeners_open;
    struct net_watch wake_watch, lifeline_watch, signal_watch;
    int signal_fd; /* eventfd that our SIGTERM handler rings */
    struct wheel_timer tick, drain_timer;
    /* The time, read once a turn of the loop: what a turn does is one moment. */
    uint64_t turn_mono_us;
    int64_t turn_wall_us;
    int64_t clock_offset_us; /* wall less monotonic, at the last tick */
    uint64_t accept_told_us, accept_paused_told; /* when that was last logged; how many of it */
    uint64_t rng;
    uint32_t queries_open; /* questions to the ledger process: ledger_ask.h */
    bool routes_need; /* routes.conf has rules that ask what a request needs */
    bool routes_stay; /* conversations are sent where they went last */
    bool draining;   /* takes no more connections; those that are open get one more answer */
    bool stopping;   /* nobody takes the place of this worker: waiting for more is in vain */
    bool awaited;    /* an upgrade waits for the last of us, and who wants to connect for it */
    bool drain_over; /* streams were told to end */
    uint64_t drain_due_ms; /* when they are */
    char *head_buf;  /* HEAD_BYTES_MAX, for heads that are written at once */
    struct buf spoken; /* what events are translated into; valid within one callback */
    _Atomic uint64_t auth_failure_tat[AUTH_FAILURE_SLOTS]; /* by client address, hashed */
};

struct client {
    struct conn conn;
    struct h1_req req;
    struct list node; /* worker->clients */
    struct list spare_node;   /* worker->spares; crowd.c's, as the next three are */
    struct peer_place place;  /* where the connections of its address are counted */
    bool spare;               /* there are too many: it may ask how we are, and no more */
    bool evicted;             /* it was one, and gave way to another */
    struct wheel_timer timer;
    struct worker *worker;
    struct call *call;        /* under way on this connection, or NULL */
    struct own_query *query;  /* likewise: a receipt that is being fetched */
    struct scrape *scrape;    /* likewise: the metrics that are being sent */
    struct front_ask *front;  /* likewise: what the manage process is asked */
    uint64_t phase_ms;        /* when the request's head or body began */
    uint32_t requests;        /* served */
    uint8_t phase;            /* enum h1_req_state that the timer was set for */
    bool metrics;             /* of the metrics listener */
    bool counted;             /* among the connections that the worker says it has */
    bool answering;           /* between a request's DONE and the end of its answer */
    bool keep_alive;          /* after the answer under way */
    bool chunked;             /* the answer under way is */
    bool bodyless;            /* the answer under way is to HEAD */
    bool broken;              /* no more reading of requests: closes after what is pending */
    bool fronted;             /* the request under way is for the manage process */
    bool in_feed;             /* client_feed() is on the stack: it goes on by itself */
    bool gone;                /* the peer has closed or failed */
    /* The key that the last request showed, and the slot it was found in: the next one shows the
     * same. Wiped with the connection. */
    uint8_t key_len;
    uint32_t key_idx, key_generation;
    char key_text[CLIENT_KEY_BYTES];
};

enum uconn_state {
    UCONN_DIALLING = 0,
    UCONN_BUSY,     /* lent to exactly one call */
    UCONN_IDLE,     /* on pool->idle */
    UCONN_DRAINING, /* its call is over; reads the rest of the answer to be usable again */
    UCONN_CLOSING,
    UCONN_STATE_COUNT
};

struct uconn {
    struct conn conn;
    struct h1_res res;
    struct list node; /* pool->idle, else on none */
    struct wheel_timer timer; /* idle, draining */
    struct pool *pool;
    struct call *call;
    uint32_t drained_bytes;
    uint8_t state; /* enum uconn_state */
    bool reused;   /* has answered before: may have gone stale */
};

enum call_state {
    CALL_ADMITTED = 0, /* parsed and allowed; no hold yet, or waiting for one */
    CALL_FIND_WAIT,    /* asks the ledger process whose it is that the call names (kept.h) */
    CALL_HOLD_WAIT,    /* a recount froze the account: tried again on a timer */
    CALL_ANNOUNCED,    /* mode reserve: waits until the hold is durable */
    CALL_QUEUED,       /* waits for room in the limits of those that could serve it */
    CALL_DIALLING,     /* waits for a connection */
    CALL_SENT,         /* the request is out; a stream's beginning is held back */
    CALL_WHOLE,        /* reads an answer that is sent on when it is complete */
    CALL_KEEP_WAIT,    /* has it, and tells the ledger process what is the tenant's now (kept.h) */
    CALL_STREAM,       /* the client has its head; events flow */
    CALL_EXTEND_WAIT,  /* a stream's next events wait for the further hold that pays for them, in mode
                        * reserve until it is durable (stream_wait.h) */
    CALL_TUNNEL,       /* realtime: both sides are WebSockets, frames flow (tunnel.h) */
    CALL_TUNNEL_WAIT,  /* its next frames wait, as a stream's events do */
    CALL_COMMIT_WAIT,  /* mode strict: settled; the answer's end waits until it is durable */
    CALL_OVER,
    CALL_STATE_COUNT
};

/* What follows when a stream's events have waited. */
enum stream_then {
    STREAM_READ_ON = 0,
    STREAM_COMPLETE, /* its end; what of call->body is behind wait_len is the last piece */
    STREAM_BREAK,    /* last_error, for then_reason */
};

/* The quotas beside a call's key, by enum budget_kind: chain.h. */
struct call_chain {
    struct quota *quota[BUDGET_KIND_COUNT]; /* NULL: none */
    uint64_t tpm_taken_ns[BUDGET_KIND_COUNT];
};

/* A further hold of a call's. */
struct call_extension {
    uint64_t generation; /* for hold_committed() */
    uint32_t slot;
};

struct call {
    struct list node;         /* worker->calls */
    struct list waiting_node; /* worker->waiting */
    struct turns_node turn;   /* worker->queue */
    struct worker *worker;
    struct client *client;    /* NULL once it is gone */
    struct uconn *uconn;
    struct wheel_timer timer;
    struct arena arena;
    uint8_t state;            /* enum call_state; see call_set_state() */
    uint8_t endpoint;         /* enum proto_endpoint: the caller's */
    uint8_t protocol;         /* enum proto_protocol: likewise */
    uint8_t up_endpoint;      /* enum proto_endpoint: that of the upstream tried now */
    bool estimates;           /* it counts tokens, and no upstream can: we say about how many */
    bool speaks;              /* the answer is translated: speak.h */
    bool up_stream;           /* it comes as a stream */
    bool bytes;               /* and that is bytes, not events: speech, for example */
    uint8_t candidate;        /* index in plan of the one tried now */
    uint8_t extension_count;
    bool held;                /* slot is ours */
    uint8_t inflight;         /* counted in calls in flight: a bit of each enum budget_kind */
    uint8_t uncounted;        /* likewise: its tokens are not, by a limit in shadow mode */
    bool shadowed;            /* a limit or budget in shadow mode would have refused it */
    bool head_sent;           /* the client has its 200 */
    bool stale_retried;       /* a pooled connection was found dead once for this candidate */
    bool tried;               /* a candidate was tried, and failed */
    bool dispatched;          /* the attempt's request is out: the provider may bill it */
    uint8_t pass;             /* enum health_pass of the attempt */
    uint8_t try_count;        /* attempts that were made */
    uint8_t skipped;          /* a bit a candidate: was at its limits, and the trace says so */
    uint8_t hold_tries;
    bool hold_busy;           /* a further hold could not be taken at the moment */
    uint8_t then;             /* enum stream_then, in CALL_EXTEND_WAIT */
    uint8_t then_reason;      /* enum record_reason, of STREAM_BREAK */
    uint8_t open;             /* bits of enum ask_open, kept when the request's bytes are given back */
    uint8_t queue_choice;     /* the candidate that has room for it, once it has its turn */
    uint16_t upstream_status; /* of the answer being read */
    uint16_t asked_name;      /* name id of what was asked for, when it is not the model; else 0 */

    char id_text[CALL_ID_LEN + 1];
    uint8_t id[16];

    struct ask ask;
    struct speech *speech;    /* speak.c's; NULL: bytes pass */
    struct tunnel *tunnel;    /* realtime's; else NULL */
    struct kept_call *kept;   /* of a call for files or batches; else NULL */
    uint64_t thread;          /* hash of the conversation; 0 none */
    struct str query;         /* of the request target; in the request's bytes */
    struct route_plan *plan;  /* in arena, while there may be another attempt; else NULL */
    struct route_candidate *at; /* that of the plan which is tried now; never NULL */
    struct route_candidate left; /* it, once the plan is gone */

    struct key_slot *key;     /* whose it is: see call_has_key() */
    struct call_chain *chain; /* NULL: the key stands alone */
    uint64_t tpm_taken_ns;    /* what the guess of its tokens took of the key's minute */
    uint32_t key_idx, key_generation;
    uint32_t slot;
    uint32_t wait_s;          /* what the upstream said to wait before the next call; 0 nothing */
    uint32_t progress_events; /* meter.event_count when the idle timer was last moved */
    struct call_extension *extensions; /* room for CALL_EXTENSIONS_MAX, from the first on; else NULL */
    int64_t held_ucr;         /* over all slots */
    int64_t progress_ucr;     /* of the whole call, with this candidate */
    struct record_tally tally; /* what it was computed from */
    uint64_t slot_generation; /* for hold_committed() */
    struct idem_claim idem;   /* the Idempotency-Key's; entry NULL: none */
    uint64_t input_estimate;  /* tokens, before any report */
    uint64_t input_max;       /* tokens, the bound that was held for */
    uint64_t output_max;      /* tokens that the caller's or the model's cap allows; UINT64_MAX */

    int64_t start_wall_us;
    uint64_t start_us;        /* monotonic */
    uint64_t attempt_us;      /* monotonic, when the attempt under way began */
    uint64_t first_byte_us;   /* monotonic, when its stream did; feed.c's */
    struct credential *entered; /* where the attempt counts as under way, or NULL; feed.c's */
    uint64_t limit_taken_ns;  /* what the guess of its tokens took of the credential's minute */
    uint64_t queued_us;       /* monotonic, when it began to wait; 0: it does not */
    uint64_t queue_due_ms;    /* when it has waited long enough; 0: it never waited */
    uint64_t deadline_ms;     /* of the whole call, in net_now_ms() */
    uint64_t commit_due_ms;   /* likewise, to hold a stream's beginning back; 0: it has not begun */

    struct str down_lines;    /* headers from upstream for the client, written; in arena */
    /* An answer or error that came in pieces; a stream's beginning that is held back, or its events that
     * wait for the hold that pays for them; or what waits for its commit. */
    struct buf body;
    size_t wait_len;          /* of the body, in CALL_EXTEND_WAIT: what waits */
    const struct proto_error *last_error; /* what the last attempt would have us tell the client; NULL */
    struct sse sse;
    struct meter meter;
    uint64_t response_bytes;
};
_Static_assert(sizeof(struct call) <= 1232, "each stream has one");

/* Of the plan; once it is gone, only the one that the call is at. */
static inline const struct route_candidate *
call_candidate(const struct call *call, uint8_t idx)
{
    ASSERT(call->plan != NULL || idx == call->candidate);
    return call->plan != NULL ? &call->plan->candidates[idx] : call->at;
}

/*
 * Is the key still there? A call may outlive it, and then its slot may be another's, of another tenant: whoever looks
 * at it in a later turn than the one that began the call asks this first. True holds until the turn ends, since an
 * open slot is not used again before all workers have passed one.
 */
static inline bool
call_has_key(const struct call *call)
{
    return (atomic_load_explicit(&call->key->flags, memory_order_acquire) & KEY_OPEN) != 0 &&
           atomic_load_explicit(&call->key->generation, memory_order_relaxed) ==
               call->key_generation;
}

static inline uint64_t
worker_now_ms(const struct worker *w)
{
    return net_now_ms(&w->net);
}

static inline uint64_t
worker_mono_us(const struct worker *w)
{
    return w->turn_mono_us;
}

static inline int64_t
worker_wall_us(const struct worker *w)
{
    return w->turn_wall_us;
}

/* worker.c */
void worker_wake_ledger(struct worker *w);
void worker_maybe_done(struct worker *w); /* draining and nothing left: stops the loop */
int worker_listen(struct worker *w);
/*
 * stopping: nobody takes calls any more, so idle connections are closed and the queue ends. Else others
 * do, by a newer configuration: whoever has a connection to us may have a request under way on it,
 * which is answered, and told to come anew. Stopping may follow the other.
 */
void worker_drain(struct worker *w, bool stopping, const char *why);

#endif
