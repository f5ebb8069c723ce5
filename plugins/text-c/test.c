/* SPDX-License-Identifier: MIT
 *
 * Calls text-c as a host would, through its exported table, under the address and
 * undefined-behaviour sanitizers. `make check` builds and runs it. Every text stands in memory of
 * exactly its size, so that one byte read past its end is caught.
 */
#include <hotcall_plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const hotcall_plugin hotcall_plugin_v1;

#define ALLOCATIONS_MAX 4

/* The stand-in for a call's arena. */
typedef struct arena {
    void *allocations[ALLOCATIONS_MAX];
    size_t len;
    int exhausted;
} arena;

static int failures = 0;

static uint8_t *arena_alloc(hotcall_call *call, size_t size, size_t align) {
    (void)align;
    arena *memory = call->host_data;
    if (memory->exhausted || memory->len == ALLOCATIONS_MAX) return NULL;
    uint8_t *bytes = malloc(size);
    memory->allocations[memory->len++] = bytes;
    return bytes;
}

static const hotcall_method *find(const char *name) {
    for (size_t i = 0; i < hotcall_plugin_v1.methods_len; i++) {
        const hotcall_method *method = hotcall_plugin_v1.methods[i];
        if (method->name.len == strlen(name) &&
            memcmp(method->name.ptr, name, method->name.len) == 0)
            return method;
    }
    fprintf(stderr, "no method %s\n", name);
    exit(1);
}

static int is(hotcall_str got, const char *want) {
    return got.len == strlen(want) && memcmp(got.ptr, want, got.len) == 0;
}

static void fail(const char *method, const char *argument, hotcall_str got, const char *want) {
    fprintf(stderr, "%s(%s): got \"%.*s\", want \"%s\"\n", method, argument, (int)got.len, got.ptr,
            want);
    failures++;
}

/* One call; the caller frees what the arena holds. */
static hotcall_status invoke(void *instance, arena *memory, const char *name,
                             const hotcall_value *params, size_t params_len,
                             hotcall_value *result, hotcall_fault *fault) {
    hotcall_call call = {.struct_size = sizeof call, .host_data = memory, .alloc = arena_alloc};
    memset(result, 0, sizeof *result);
    memset(fault, 0, sizeof *fault);
    fault->struct_size = sizeof *fault;
    return find(name)->invoke(instance, &call, params, params_len, result, fault);
}

static void release(arena *memory) {
    for (size_t i = 0; i < memory->len; i++) free(memory->allocations[i]);
}

static hotcall_value string(const char *text) {
    size_t len = strlen(text);
    char *copy = malloc(len);
    if (len != 0) memcpy(copy, text, len);
    return (hotcall_value){.tag = HOTCALL_STRING, .as.string = {copy, len}};
}

static void gives(void *instance, const char *method, const char *argument, const char *want) {
    arena memory = {0};
    hotcall_value param = string(argument);
    hotcall_value result;
    hotcall_fault fault;
    hotcall_status status = invoke(instance, &memory, method, &param, 1, &result, &fault);
    if (status != HOTCALL_OK)
        fail(method, argument, fault.message, want);
    else if (result.tag != HOTCALL_STRING || !is(result.as.string, want))
        fail(method, argument, result.as.string, want);
    release(&memory);
    free((void *)param.as.string.ptr);
}

static void counts(void *instance, const char *argument, int32_t want) {
    arena memory = {0};
    hotcall_value param = string(argument);
    hotcall_value result;
    hotcall_fault fault;
    hotcall_status status = invoke(instance, &memory, "count", &param, 1, &result, &fault);
    if (status != HOTCALL_OK || result.tag != HOTCALL_INT || result.as.integer != want) {
        fprintf(stderr, "count(%s): got %d, want %d\n", argument, (int)result.as.integer,
                (int)want);
        failures++;
    }
    release(&memory);
    free((void *)param.as.string.ptr);
}

static void refuses(void *instance, arena memory, const char *method, const hotcall_value *params,
                    size_t params_len, int32_t code, const char *want) {
    hotcall_value result;
    hotcall_fault fault;
    hotcall_status status = invoke(instance, &memory, method, params, params_len, &result, &fault);
    if (status != HOTCALL_FAULT || fault.code != code || !is(fault.message, want))
        fail(method, "wrong parameters", fault.message, want);
    release(&memory);
}

int main(void) {
    void *instance = NULL;
    hotcall_fault fault = {.struct_size = sizeof fault};
    if (hotcall_plugin_v1.create(NULL, NULL, &instance, &fault) != HOTCALL_OK) {
        fprintf(stderr, "create: %.*s\n", (int)fault.message.len, fault.message.ptr);
        return 1;
    }

    gives(instance, "upper", "", "");
    gives(instance, "upper", "Hello, 42!", "HELLO, 42!");
    gives(instance, "upper", "d\u00e9j\u00e0 stra\u00dfe", "D\u00c9J\u00c0 STRA\u00dfE");
    gives(instance, "upper", "\u03b1\u03b2\u03b3 \u0436\u0451\u044f",
          "\u0391\u0392\u0393 \u0416\u0401\u042f");
    /* shorter, longer, and as long */
    gives(instance, "upper", "\u0131 \u0250 \u00ff", "I \u2c6f \u0178");
    gives(instance, "upper", "\U0001f600 \U00010428", "\U0001f600 \U00010400");
    gives(instance, "lower", "HELLO \u00c9\u03a9\u0416 \u212a", "hello \u00e9\u03c9\u0436 k");
    gives(instance, "lower", "\u023a", "\u2c65");
    gives(instance, "reverse", "", "");
    gives(instance, "reverse", "a\u00e9\u4e2d\U0001f600z", "z\U0001f600\u4e2d\u00e9a");
    counts(instance, "", 0);
    counts(instance, "a\u00e9\u4e2d\U0001f600z", 5);

    /* Text that the host would never pass is answered without reading past its end. */
    counts(instance, "\xf0", 1);
    gives(instance, "upper", "\xc3", "\x03");

    hotcall_value number = {.tag = HOTCALL_INT, .as.integer = 7};
    hotcall_value text = {.tag = HOTCALL_STRING, .as.string = {"abc", 3}};
    hotcall_value two[] = {text, number};
    arena empty = {0};
    arena exhausted = {.exhausted = 1};
    const int32_t invalid = HOTCALL_CODE_INVALID_PARAMS;
    refuses(instance, empty, "upper", NULL, 0, invalid,
            "upper: want 1 parameter (text, a string), got 0");
    refuses(instance, empty, "count", two, 2, invalid,
            "count: want 1 parameter (text, a string), got 2");
    refuses(instance, empty, "lower", &number, 1, invalid,
            "lower: parameter 1 (text): want a string, got an int");
    refuses(instance, exhausted, "lower", &number, 1, invalid, "wrong parameters");
    refuses(instance, exhausted, "reverse", &text, 1, HOTCALL_CODE_RESPONSE_TOO_LARGE,
            "the result is larger than one call may hold");

    hotcall_plugin_v1.destroy(instance);
    return failures == 0 ? 0 : 1;
}
