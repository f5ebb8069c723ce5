/* SPDX-License-Identifier: MIT
 *
 * Hotcall plugin ABI, version 1.0.
 *
 * A plugin is an ELF shared library that exports one data symbol, hotcall_plugin_v1, and carries
 * one ELF note. HOTCALL_EXPORT makes both:
 *
 *     static hotcall_status add(void *instance, hotcall_call *call, const hotcall_value *params,
 *                               size_t params_len, hotcall_value *result, hotcall_fault *fault);
 *     static const hotcall_method add_method = {
 *         .struct_size = sizeof(hotcall_method), .name = HOTCALL_STR("add"), .invoke = add};
 *     static const hotcall_method *const methods[] = {&add_method};
 *     HOTCALL_EXPORT = {HOTCALL_PLUGIN_HEADER, .name = HOTCALL_STR("sums"),
 *                       .version = HOTCALL_STR("1.0.0"), .methods = methods, .methods_len = 1};
 *
 * Build it with: cc -std=c11 -O2 -fPIC -shared -o sums.so sums.c
 *
 * Rules that hold everywhere
 * - Memory has one owner. Parameters, and all that is reached through them, belong to the host and
 *   live until the function they were passed to returns. A result or a fault message lives in
 *   memory of hotcall_call.alloc, is part of the parameters, or is static. Nothing allocated on one
 *   side is freed on the other.
 * - "Static" means in the plugin's own file: the host refuses tables, names and help texts
 *   elsewhere.
 * - Text is UTF-8 with a length and without a terminator, unless its type is const char *.
 * - No C++ exception, no longjmp and no panic may leave a function of this ABI.
 * - Tables grow only at their end. struct_size is what its writer knew; a reader uses no field past
 *   it. hotcall_str, hotcall_value and what it contains, hotcall_member and hotcall_signature never
 *   grow.
 * - "reserved" fields are 0.
 * - An instance is shared: many threads call its methods at once. It guards its own state.
 */
#ifndef HOTCALL_PLUGIN_H
#define HOTCALL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HOTCALL_ABI_MAJOR 1u
#define HOTCALL_ABI_MINOR 0u

/* ---- Values ---------------------------------------------------------------------------------- */

/* Bytes and their number. ptr may be NULL when len is 0. */
typedef struct hotcall_str {
    const char *ptr;
    size_t len;
} hotcall_str;

/* hotcall_value.tag: which field of the union counts. */
enum {
    HOTCALL_NIL = 0,
    HOTCALL_BOOL = 1,     /* boolean: 0 or 1 */
    HOTCALL_INT = 2,      /* integer */
    HOTCALL_LONG = 3,     /* long_integer; sent as <i8> */
    HOTCALL_DOUBLE = 4,   /* number */
    HOTCALL_STRING = 5,   /* string: UTF-8 */
    HOTCALL_DATETIME = 6, /* datetime */
    HOTCALL_BINARY = 7,   /* binary; sent as <base64> */
    HOTCALL_ARRAY = 8,    /* array */
    HOTCALL_STRUCT = 9,   /* structure */
    HOTCALL_ANY = 255     /* in a hotcall_signature only */
};

/* A broken-down date and time, as the sender wrote it. */
typedef struct hotcall_datetime {
    int32_t year;           /* 0 to 9999 */
    uint32_t nanosecond;    /* 0 to 999999999 */
    int16_t offset_minutes; /* east of UTC; 0 unless has_offset */
    uint8_t has_offset;     /* 1 when the sender gave an offset */
    uint8_t month;          /* 1 to 12 */
    uint8_t day;            /* 1 to 31 */
    uint8_t hour;           /* 0 to 24; 24 only as 24:00:00 */
    uint8_t minute;         /* 0 to 59 */
    uint8_t second;         /* 0 to 60 */
} hotcall_datetime;

struct hotcall_value;
struct hotcall_member;

/* The items of an array. ptr may be NULL when len is 0. */
typedef struct hotcall_items {
    const struct hotcall_value *ptr;
    size_t len;
} hotcall_items;

/* The members of a struct, in order. ptr may be NULL when len is 0. */
typedef struct hotcall_members {
    const struct hotcall_member *ptr;
    size_t len;
} hotcall_members;

/* One value. All bytes zero is nil. */
typedef struct hotcall_value {
    uint32_t tag;
    uint32_t reserved;
    union {
        uint8_t boolean;
        int32_t integer;
        int64_t long_integer;
        double number;
        hotcall_str string;
        hotcall_datetime datetime;
        hotcall_str binary;
        hotcall_items array;
        hotcall_members structure;
    } as;
} hotcall_value;

/* One member of a struct. Names are unique in what the host passes. */
typedef struct hotcall_member {
    hotcall_str name;
    hotcall_value value;
} hotcall_member;

/* ---- Status and faults ----------------------------------------------------------------------- */

typedef int32_t hotcall_status;
enum {
    HOTCALL_OK = 0,
    HOTCALL_FAULT = 1, /* failed; the fault holds a code and a message */
    HOTCALL_ERROR = 2, /* failed; the fault holds a message; clients get code -32500 */
    HOTCALL_PANIC = 3  /* a panic was caught on the plugin's side; clients get code -32003 */
};

/* The host sets struct_size and zeroes the rest before each call. The plugin writes code and
 * message when it returns another status than HOTCALL_OK. The message lives as a result does. */
typedef struct hotcall_fault {
    uint32_t struct_size;
    int32_t code;
    hotcall_str message;
} hotcall_fault;

/* Codes that have a fixed meaning. A plugin's own codes are best positive. */
enum {
    HOTCALL_CODE_INVALID_PARAMS = -32602,
    HOTCALL_CODE_APPLICATION = -32500,
    HOTCALL_CODE_RESPONSE_TOO_LARGE = -32002
};

/* Log levels. */
enum {
    HOTCALL_LOG_ERROR = 1,
    HOTCALL_LOG_WARN = 2,
    HOTCALL_LOG_INFO = 3,
    HOTCALL_LOG_DEBUG = 4,
    HOTCALL_LOG_TRACE = 5
};

/* ---- What the host offers -------------------------------------------------------------------- */

/* One call's context and arena. Owned by the host; valid until the function it was passed to
 * returns; used only on the thread that function runs on. */
typedef struct hotcall_call {
    uint32_t struct_size;
    uint32_t reserved;
    void *host_data; /* the host's own */
    /* Uninitialised memory that lives until the host has encoded the result. NULL when the call's
     * memory limit is reached, or align is not a power of two of at most 64. */
    uint8_t *(*alloc)(struct hotcall_call *call, size_t size, size_t align);
    /* Milliseconds until the call's deadline; 0 when it has passed. */
    uint64_t (*remaining_ms)(const struct hotcall_call *call);
    /* 1 when nobody waits for the result any more: stop early, return anything. */
    uint8_t (*cancelled)(const struct hotcall_call *call);
    /* One line to the server's log, under the plugin's name and the request's id. Control
     * characters are replaced. */
    void (*log)(const struct hotcall_call *call, uint32_t level, hotcall_str message);
    hotcall_str caller_name;    /* who calls; empty when not authenticated */
    hotcall_str caller_address; /* where the call came from, as text; empty when there is none */
    hotcall_str request_id;     /* the id under which the log speaks of this request */
} hotcall_call;

/* What one instance may use from the start of create until destroy has returned, on any thread. */
typedef struct hotcall_host {
    uint32_t struct_size;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t reserved;
    void *host_data;            /* the host's own */
    hotcall_str version;        /* for example "hotcall 0.1.0" */
    /* Absolute; only this plugin uses it; it outlives reloads. Two versions use it at once for a
     * moment unless the plugin is exclusive: see "Exclusive reload" for databases. */
    hotcall_str data_directory;
    /* the plugin's configuration: a struct, empty when none was given */
    const hotcall_value *config;
    void (*log)(const struct hotcall_host *host, uint32_t level, hotcall_str message);
    /* An optional feature of the host by its id and least revision; NULL when it has none such. */
    const void *(*extension)(const struct hotcall_host *host, const char *id, uint32_t revision);
} hotcall_host;

/* ---- What the plugin exports ----------------------------------------------------------------- */

/* The result's type, then each parameter's, as tags. Static. */
typedef struct hotcall_signature {
    const uint8_t *types;
    size_t types_len;
} hotcall_signature;

/* hotcall_method.flags */
enum {
    HOTCALL_METHOD_IDEMPOTENT = 1, /* calling it twice does no more than calling it once */
    HOTCALL_METHOD_QUICK = 2       /* it never blocks and returns within microseconds */
};

/* One exported function. Static. */
typedef struct hotcall_method {
    uint32_t struct_size;
    uint32_t flags;
    /* what clients call: ASCII letters, digits and _ . : / ; not system. or hotcall. */
    hotcall_str name;
    hotcall_str help; /* what system.methodHelp answers; may be empty */
    /* what system.methodSignature answers; may be NULL with 0 */
    const hotcall_signature *signatures;
    size_t signatures_len;
    /* Any thread, many at once. params is read-only. *result is nil before the call; it is read
     * only when HOTCALL_OK is returned. */
    hotcall_status (*invoke)(void *instance, hotcall_call *call, const hotcall_value *params,
                             size_t params_len, hotcall_value *result, hotcall_fault *fault);
} hotcall_method;

/* hotcall_plugin.flags */
enum {
    /* After destroy has returned, no thread, thread-local, signal handler or registration of the
     * plugin is left, so that it could be unmapped. */
    HOTCALL_PLUGIN_LEAVES_NOTHING = 1
};

/* The plugin. Static. Functions that may be NULL say so. create, save_state and load_state run on
 * the host's loader thread, quiesce and destroy each on a thread of its own that ends after it; of
 * one instance never two at a time. A new content is tried in a process of its own first, where
 * create and destroy run once more, with a data directory that is removed afterwards. The order in
 * which functions of two versions run is that of an overlapping reload; see also "Exclusive
 * reload". */
typedef struct hotcall_plugin {
    uint32_t struct_size;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t flags;
    hotcall_str name;        /* ASCII letters, digits, - and _ ; names its configuration and data */
    hotcall_str version;     /* by habit a semantic version */
    hotcall_str description; /* one line */
    const hotcall_method *const *methods;
    size_t methods_len; /* at least 1 */
    /* Makes the instance that every other function is given. May be NULL: the instance is NULL. */
    hotcall_status (*create)(const hotcall_host *host, hotcall_call *call, void **instance,
                             hotcall_fault *fault);
    /* No new call will start: end long ones soon. Calls may still run. May be NULL. */
    void (*quiesce)(void *instance);
    /* Gives the state that the next generation takes over; version names its form. May be NULL: the
     * next generation then starts afresh. Called when a new generation has been created, and not
     * yet replaced this one. The state lives as a result does and has the limits of one.
     *
     * Calls start and run meanwhile and until the swap, which follows at once when load_state has
     * returned; quiesce says that it is done. What they change after this function has looked is
     * lost to the next generation. A plugin that may lose nothing keeps that in its data directory;
     * or, from here on, it fails calls that change the state with a code for "try again", until
     * quiesce or for a second at most: when the next generation is refused, this one goes on and is
     * told nothing, and save_state may be called again later.
     *
     * Another status than HOTCALL_OK keeps this generation. It is asked again some times. */
    hotcall_status (*save_state)(void *instance, hotcall_call *call, uint32_t *version,
                                 hotcall_value *state, hotcall_fault *fault);
    /* Takes over a saved state, after create and before the first call: once, or not at all when
     * there is none. version is what the saver wrote: perhaps an older version's, or, when an
     * operator goes back, a newer one's. Another status than HOTCALL_OK refuses the state and with
     * it this generation: it is destroyed, and the one that runs goes on. May be NULL. */
    hotcall_status (*load_state)(void *instance, hotcall_call *call, uint32_t version,
                                 const hotcall_value *state, hotcall_fault *fault);
    /* The last call has returned: free everything. May be NULL. */
    void (*destroy)(void *instance);
    /* An optional feature of the plugin by its id and least revision. Any thread. May be NULL. */
    const void *(*extension)(const char *id, uint32_t revision);
} hotcall_plugin;

/* ---- Exclusive reload ------------------------------------------------------------------------ */

/* A plugin of which no two instances may live at the same time says so by the extension
 * "hotcall.exclusive", revision 1: .extension = hotcall_exclusive. It needs that when it holds a
 * port, a lock file or a device, or keeps a database with its own copy of SQLite, LMDB or the like:
 * file locks of POSIX are per process, so two copies of SQLite in one process lose each other's
 * commits.
 *
 * A reload is then exclusive: new calls wait, running ones end, the old instance gets save_state,
 * quiesce and destroy, then the new one gets create and load_state, and the waiting calls go on in
 * it. When the new version refuses, create and load_state of the old version run again, in the same
 * library: create must work again after destroy. The trial in a process of its own runs create only
 * while no instance lives.
 *
 * The operator's setting `reload` for the plugin comes first. A host without this feature never
 * asks. */
static inline const void *hotcall_exclusive(const char *id, uint32_t revision) {
    static const char name[] = "hotcall.exclusive";
    size_t i = 0;
    while (name[i] != '\0' && id[i] == name[i]) i++;
    return id[i] == name[i] && revision <= 1 ? name : NULL;
}

/* ---- The ELF note ---------------------------------------------------------------------------- */

/* What the host reads from the file before any of its code runs. HOTCALL_EXPORT writes it. */
typedef struct hotcall_note {
    uint32_t owner_len;      /* 8 */
    uint32_t descriptor_len; /* 12 */
    uint32_t note_type;      /* 1 */
    char owner[8];           /* "Hotcall", NUL */
    uint32_t magic;          /* HOTCALL_NOTE_MAGIC */
    uint32_t abi_major;
    uint32_t abi_minor;
} hotcall_note;

#define HOTCALL_NOTE_MAGIC 0x4C504348u

/* Starts the definition of the plugin's table: HOTCALL_EXPORT = {...}; */
#define HOTCALL_EXPORT                                                                             \
    extern __attribute__((visibility("hidden"))) const hotcall_note hotcall_note_v1;               \
    __attribute__((section(".note.hotcall"), used, aligned(4)))                                    \
    const hotcall_note hotcall_note_v1 = {                                                         \
        8u, 12u, 1u, {'H', 'o', 't', 'c', 'a', 'l', 'l', '\0'},                                    \
        HOTCALL_NOTE_MAGIC, HOTCALL_ABI_MAJOR, HOTCALL_ABI_MINOR};                                 \
    extern __attribute__((visibility("default"))) const hotcall_plugin hotcall_plugin_v1;          \
    const hotcall_plugin hotcall_plugin_v1

/* The first fields of a hotcall_plugin without flags. */
#define HOTCALL_PLUGIN_HEADER                                                                      \
    (uint32_t)sizeof(hotcall_plugin), HOTCALL_ABI_MAJOR, HOTCALL_ABI_MINOR, 0u

/* A hotcall_str of a string literal, as an initialiser. */
#define HOTCALL_STR(literal) {(literal), sizeof(literal) - 1}

/* ---- Helpers --------------------------------------------------------------------------------- */

/* Fails with a code of the plugin's own. message: a static, NUL-terminated text. */
static inline hotcall_status hotcall_fail(hotcall_fault *fault, int32_t code, const char *message) {
    size_t len = 0;
    while (message[len] != '\0') len++;
    fault->code = code;
    fault->message.ptr = message;
    fault->message.len = len;
    return HOTCALL_FAULT;
}

/* Gives an int as the result. */
static inline hotcall_status hotcall_return_int(hotcall_value *result, int32_t value) {
    result->tag = HOTCALL_INT;
    result->as.integer = value;
    return HOTCALL_OK;
}

/* Gives text as the result: UTF-8 of len bytes in memory of hotcall_call.alloc, or static. */
static inline hotcall_status hotcall_return_string(hotcall_value *result, const char *ptr,
                                                   size_t len) {
    result->tag = HOTCALL_STRING;
    result->as.string.ptr = ptr;
    result->as.string.len = len;
    return HOTCALL_OK;
}

#ifdef __cplusplus
}
#endif

#endif /* HOTCALL_PLUGIN_H */
