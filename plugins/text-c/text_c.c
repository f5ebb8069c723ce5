/* SPDX-License-Identifier: MIT
 *
 * text-c: a Hotcall plugin in C. Upper and lower case, reversal and length of text.
 *
 * A character here is a Unicode scalar value (one code point), so that "e" followed by a combining
 * accent is two characters. Case pairs are those of glibc's C.UTF-8 locale: one character to one
 * character, for every script of Unicode, whatever locale the server runs in. A case pair that
 * would change the number of characters is left alone: the German sharp s stays as it is.
 *
 * The host promises that text is valid UTF-8. Even so no function here reads past its end.
 */
#define _POSIX_C_SOURCE 200809L /* newlocale, towupper_l */

#include <hotcall_plugin.h>

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#ifndef __STDC_ISO_10646__
#error "text-c hands code points to towupper_l, so wchar_t must hold them"
#endif

/* What create makes and every call shares. Nothing writes to it between create and destroy, and the
 * *_l functions only read a locale, so that calls on many threads need no lock. setlocale would
 * have changed the whole server's locale. */
typedef struct text_c {
    locale_t locale;
} text_c;

typedef wint_t (*case_map)(wint_t, locale_t);

static hotcall_status take_text(const char *method, hotcall_call *call, const hotcall_value *params,
                                size_t params_len, hotcall_str *text, hotcall_fault *fault);
static hotcall_status map_case(const text_c *self, hotcall_call *call, hotcall_str text,
                               case_map map, hotcall_value *result, hotcall_fault *fault);
static char *alloc_text(hotcall_call *call, size_t len, hotcall_fault *fault);
static size_t next_character(hotcall_str text, size_t at, uint32_t *character);
static size_t encode(uint32_t character, char bytes[4]);
static int continues(char byte);

/* ---- The methods ----------------------------------------------------------------------------- */

static hotcall_status upper(void *instance, hotcall_call *call, const hotcall_value *params,
                            size_t params_len, hotcall_value *result, hotcall_fault *fault) {
    hotcall_str text;
    hotcall_status status = take_text("upper", call, params, params_len, &text, fault);
    if (status != HOTCALL_OK) return status;
    return map_case(instance, call, text, towupper_l, result, fault);
}

static hotcall_status lower(void *instance, hotcall_call *call, const hotcall_value *params,
                            size_t params_len, hotcall_value *result, hotcall_fault *fault) {
    hotcall_str text;
    hotcall_status status = take_text("lower", call, params, params_len, &text, fault);
    if (status != HOTCALL_OK) return status;
    return map_case(instance, call, text, towlower_l, result, fault);
}

static hotcall_status reverse(void *instance, hotcall_call *call, const hotcall_value *params,
                              size_t params_len, hotcall_value *result, hotcall_fault *fault) {
    (void)instance;
    hotcall_str text;
    hotcall_status status = take_text("reverse", call, params, params_len, &text, fault);
    if (status != HOTCALL_OK) return status;

    char *reversed = alloc_text(call, text.len, fault);
    if (reversed == NULL) return HOTCALL_FAULT;
    size_t written = text.len;
    for (size_t at = 0; at < text.len;) {
        size_t start = at++;
        while (at < text.len && continues(text.ptr[at])) at++;
        written -= at - start;
        memcpy(reversed + written, text.ptr + start, at - start);
    }
    return hotcall_return_string(result, reversed, text.len);
}

static hotcall_status count(void *instance, hotcall_call *call, const hotcall_value *params,
                            size_t params_len, hotcall_value *result, hotcall_fault *fault) {
    (void)instance;
    hotcall_str text;
    hotcall_status status = take_text("count", call, params, params_len, &text, fault);
    if (status != HOTCALL_OK) return status;

    size_t characters = 0;
    for (size_t at = 0; at < text.len; at++) characters += !continues(text.ptr[at]);
    if (characters > INT32_MAX)
        return hotcall_fail(fault, HOTCALL_CODE_INVALID_PARAMS,
                            "parameter 1 (text): want at most 2147483647 characters, got more");
    return hotcall_return_int(result, (int32_t)characters);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static hotcall_status create(const hotcall_host *host, hotcall_call *call, void **instance,
                             hotcall_fault *fault) {
    (void)host;
    (void)call;
    text_c *self = malloc(sizeof *self);
    if (self == NULL) {
        hotcall_fail(fault, 0, "out of memory");
        return HOTCALL_ERROR;
    }
    self->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (self->locale == (locale_t)0) {
        free(self);
        hotcall_fail(fault, 0, "the locale C.UTF-8 is missing: install it (Debian: libc-bin)");
        return HOTCALL_ERROR;
    }
    *instance = self;
    return HOTCALL_OK;
}

static void destroy(void *instance) {
    text_c *self = instance;
    freelocale(self->locale);
    free(self);
}

/* ---- Parameters and faults ------------------------------------------------------------------- */

static const char *type_name(uint32_t tag) {
    static const char *const names[] = {
        "a nil",    "a boolean",          "an int",   "an i8",    "a double",
        "a string", "a dateTime.iso8601", "a base64", "an array", "a struct",
    };
    return tag < sizeof names / sizeof *names ? names[tag] : "a value of an unknown type";
}

/* Refuses the parameters with a message that is written into the call's memory. */
__attribute__((format(printf, 3, 4)))
static hotcall_status refuse(hotcall_call *call, hotcall_fault *fault, const char *format, ...) {
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    size_t len = wanted < 0 ? 0 : (size_t)wanted;
    if (len > sizeof text - 1) len = sizeof text - 1;
    char *message = (char *)call->alloc(call, len, 1);
    if (message == NULL)
        return hotcall_fail(fault, HOTCALL_CODE_INVALID_PARAMS, "wrong parameters");
    memcpy(message, text, len);
    fault->code = HOTCALL_CODE_INVALID_PARAMS;
    fault->message.ptr = message;
    fault->message.len = len;
    return HOTCALL_FAULT;
}

/* Gives the one parameter that every method here takes. */
static hotcall_status take_text(const char *method, hotcall_call *call, const hotcall_value *params,
                                size_t params_len, hotcall_str *text, hotcall_fault *fault) {
    if (params_len != 1)
        return refuse(call, fault, "%s: want 1 parameter (text, a string), got %zu", method,
                      params_len);
    if (params[0].tag != HOTCALL_STRING)
        return refuse(call, fault, "%s: parameter 1 (text): want a string, got %s", method,
                      type_name(params[0].tag));
    *text = params[0].as.string;
    return HOTCALL_OK;
}

/* Memory for a result of len bytes; NULL after it has set the fault. */
static char *alloc_text(hotcall_call *call, size_t len, hotcall_fault *fault) {
    /* At least one byte, so that NULL always means that there is no memory. */
    char *memory = (char *)call->alloc(call, len == 0 ? 1 : len, 1);
    if (memory == NULL)
        hotcall_fail(fault, HOTCALL_CODE_RESPONSE_TOO_LARGE,
                     "the result is larger than one call may hold");
    return memory;
}

/* ---- Characters ------------------------------------------------------------------------------ */

/* Maps every character. Twice, because a pair may differ in bytes: the first pass measures, the
 * second writes. */
static hotcall_status map_case(const text_c *self, hotcall_call *call, hotcall_str text,
                               case_map map, hotcall_value *result, hotcall_fault *fault) {
    char bytes[4];
    uint32_t character;
    size_t len = 0;
    for (size_t at = 0; at < text.len;) {
        at = next_character(text, at, &character);
        len += encode((uint32_t)map((wint_t)character, self->locale), bytes);
    }
    char *mapped = alloc_text(call, len, fault);
    if (mapped == NULL) return HOTCALL_FAULT;
    size_t written = 0;
    for (size_t at = 0; at < text.len;) {
        at = next_character(text, at, &character);
        size_t size = encode((uint32_t)map((wint_t)character, self->locale), bytes);
        memcpy(mapped + written, bytes, size);
        written += size;
    }
    return hotcall_return_string(result, mapped, len);
}

/* Reads the character that starts at the byte at, and gives the place of the one after it. */
static size_t next_character(hotcall_str text, size_t at, uint32_t *character) {
    uint32_t first = (unsigned char)text.ptr[at++];
    *character = first < 0x80   ? first
                 : first < 0xE0 ? first & 0x1F
                 : first < 0xF0 ? first & 0x0F
                                : first & 0x07;
    while (at < text.len && continues(text.ptr[at]))
        *character = *character << 6 | ((unsigned char)text.ptr[at++] & 0x3F);
    return at;
}

/* Writes a character as UTF-8 and gives its length. */
static size_t encode(uint32_t character, char bytes[4]) {
    if (character < 0x80) {
        bytes[0] = (char)character;
        return 1;
    }
    size_t len = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t at = len - 1; at > 0; at--) {
        bytes[at] = (char)(0x80 | (character & 0x3F));
        character >>= 6;
    }
    bytes[0] = (char)(lead[len] | character);
    return len;
}

/* Whether a byte of UTF-8 is a later one of its character. */
static int continues(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* A signature is the result's type, then each parameter's. */
static const uint8_t text_to_text[] = {HOTCALL_STRING, HOTCALL_STRING};
static const hotcall_signature text_to_text_signature = {text_to_text, sizeof text_to_text};
static const uint8_t text_to_int[] = {HOTCALL_INT, HOTCALL_STRING};
static const hotcall_signature text_to_int_signature = {text_to_int, sizeof text_to_int};

/* None is HOTCALL_METHOD_QUICK: their time grows with the text. */
static const hotcall_method upper_method = {
    .struct_size = sizeof(hotcall_method),
    .flags = HOTCALL_METHOD_IDEMPOTENT,
    .name = HOTCALL_STR("upper"),
    .help = HOTCALL_STR("Gives the text in upper case, character by character."),
    .signatures = &text_to_text_signature,
    .signatures_len = 1,
    .invoke = upper,
};
static const hotcall_method lower_method = {
    .struct_size = sizeof(hotcall_method),
    .flags = HOTCALL_METHOD_IDEMPOTENT,
    .name = HOTCALL_STR("lower"),
    .help = HOTCALL_STR("Gives the text in lower case, character by character."),
    .signatures = &text_to_text_signature,
    .signatures_len = 1,
    .invoke = lower,
};
static const hotcall_method reverse_method = {
    .struct_size = sizeof(hotcall_method),
    .flags = HOTCALL_METHOD_IDEMPOTENT,
    .name = HOTCALL_STR("reverse"),
    .help = HOTCALL_STR("Gives the text's characters (Unicode scalar values) in reverse order."),
    .signatures = &text_to_text_signature,
    .signatures_len = 1,
    .invoke = reverse,
};
static const hotcall_method count_method = {
    .struct_size = sizeof(hotcall_method),
    .flags = HOTCALL_METHOD_IDEMPOTENT,
    .name = HOTCALL_STR("count"),
    .help = HOTCALL_STR("Gives the number of the text's characters (Unicode scalar values)."),
    .signatures = &text_to_int_signature,
    .signatures_len = 1,
    .invoke = count,
};

static const hotcall_method *const methods[] = {
    &upper_method, &lower_method, &reverse_method, &count_method};

HOTCALL_EXPORT = {
    .struct_size = sizeof(hotcall_plugin),
    .abi_major = HOTCALL_ABI_MAJOR,
    .abi_minor = HOTCALL_ABI_MINOR,
    .flags = HOTCALL_PLUGIN_LEAVES_NOTHING,
    .name = HOTCALL_STR("text-c"),
    .version = HOTCALL_STR("0.1.0"),
    .description = HOTCALL_STR("Upper and lower case, reversal and length of text, in C."),
    .methods = methods,
    .methods_len = sizeof methods / sizeof *methods,
    .create = create,
    .destroy = destroy,
};
