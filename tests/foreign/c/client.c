// xmlrpc-c's client library over libcurl: every type, the suite validator1, a fault, introspection
// and a batch.
//   cc -std=c11 client.c -lxmlrpc_client -lxmlrpc -lxmlrpc_util && ./a.out URL CA_FILE
//
// The library refuses characters past U+FFFF. A value is compared by the XML that the library
// writes for it: type and content in one text.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmlrpc-c/base.h>
#include <xmlrpc-c/client.h>

#define TEXT " Zo\u00eb <b>&amp; \"it's\" ]]> \u20ac\n\ttwo  "
#define MOMENT "19980717T14:08:55"

static xmlrpc_env env;
static xmlrpc_client *client;
static const char *url;

static void check(const char *what) {
    if (env.fault_occurred) {
        fprintf(stderr, "%s: fault %d: %s\n", what, env.fault_code, env.fault_string);
        exit(1);
    }
}

static xmlrpc_value *call(const char *method, xmlrpc_value *params) {
    xmlrpc_server_info *const server = xmlrpc_server_info_new(&env, url);
    check(url);
    xmlrpc_value *result = NULL;
    xmlrpc_client_call2(&env, client, server, method, params, &result);
    xmlrpc_server_info_free(server);
    xmlrpc_DECREF(params);
    return result;
}

// Builds a value from xmlrpc-c's format; an array of parameters is "(...)".
#define VALUE(...) built(xmlrpc_build_value(&env, __VA_ARGS__), #__VA_ARGS__)

static xmlrpc_value *built(xmlrpc_value *value, const char *what) {
    check(what);
    return value;
}

static void same(xmlrpc_value *got, xmlrpc_value *wanted, const char *what) {
    check(what);
    xmlrpc_mem_block *const got_xml = xmlrpc_mem_block_new(&env, 0);
    xmlrpc_mem_block *const wanted_xml = xmlrpc_mem_block_new(&env, 0);
    xmlrpc_serialize_value(&env, got_xml, got);
    xmlrpc_serialize_value(&env, wanted_xml, wanted);
    check(what);
    const size_t got_len = xmlrpc_mem_block_size(got_xml);
    const size_t wanted_len = xmlrpc_mem_block_size(wanted_xml);
    const char *const got_text = xmlrpc_mem_block_contents(got_xml);
    const char *const wanted_text = xmlrpc_mem_block_contents(wanted_xml);
    if (got_len != wanted_len || memcmp(got_text, wanted_text, got_len) != 0) {
        fprintf(stderr, "%s: got %.*s, wanted %.*s\n", what, (int)got_len, got_text,
                (int)wanted_len, wanted_text);
        exit(1);
    }
    xmlrpc_mem_block_free(got_xml);
    xmlrpc_mem_block_free(wanted_xml);
    xmlrpc_DECREF(got);
    xmlrpc_DECREF(wanted);
}

static void echoes(const char *method, xmlrpc_value *value) {
    same(call(method, VALUE("(V)", value)), value, method);
}

static void fault(int code, const char *text, const char *method, xmlrpc_value *params) {
    call(method, params);
    if (env.fault_code != code || strstr(env.fault_string, text) == NULL) {
        fprintf(stderr, "%s: fault %d (%s), wanted %d (%s)\n", method, env.fault_code,
                env.fault_string, code, text);
        exit(1);
    }
    xmlrpc_env_clean(&env);
    xmlrpc_env_init(&env);
}

static void every_type(void) {
    unsigned char bytes[256];
    for (int n = 0; n < 256; n++)
        bytes[n] = (unsigned char)n;
    const long long wide[] = {5, 1LL << 40, INT64_MIN};
    const xmlrpc_int32 ints[] = {0, -1, INT32_MAX, INT32_MIN};
    const double doubles[] = {-2.5, 0.1, 123456.789, 0.0};
    for (size_t n = 0; n < sizeof ints / sizeof *ints; n++)
        echoes("interopEchoTests.echoInteger", VALUE("i", ints[n]));
    for (size_t n = 0; n < sizeof wide / sizeof *wide; n++)
        echoes("interop.echoI8", VALUE("I", (xmlrpc_int64)wide[n]));
    for (size_t n = 0; n < sizeof doubles / sizeof *doubles; n++)
        echoes("interopEchoTests.echoFloat", VALUE("d", doubles[n]));
    echoes("interopEchoTests.echoString", VALUE("s", ""));
    echoes("interopEchoTests.echoString", VALUE("s", TEXT));
    echoes("interopEchoTests.echoBoolean", VALUE("b", (xmlrpc_bool)1));
    echoes("interopEchoTests.echoBoolean", VALUE("b", (xmlrpc_bool)0));
    echoes("interopEchoTests.echoDate", VALUE("8", MOMENT));
    echoes("interopEchoTests.echoBase64", VALUE("6", bytes, sizeof bytes));
    echoes("interopEchoTests.echoStringArray", VALUE("(sss)", "a", "", TEXT));
    echoes("interopEchoTests.echoIntegerArray", VALUE("(ii)", 1, 2));
    echoes("interopEchoTests.echoStruct",
           VALUE("{s:s,s:i,s:d}", "varString", TEXT, "<&>", 7, "varFloat", 0.5));
    echoes("interopEchoTests.echoStructArray", VALUE("({s:(())}{})", "a"));
    echoes("interop.echoNil", VALUE("n"));
    same(call("interop.typesOf", VALUE("((iIdsbn8()))", 1, (xmlrpc_int64)1, 1.0, "", 1, MOMENT)),
         VALUE("(ssssssss)", "int", "i8", "double", "string", "boolean", "nil", "dateTime.iso8601",
               "array"),
         "interop.typesOf");
}

static void validator1(void) {
    xmlrpc_value *const stooges = VALUE("{s:i,s:i,s:i}", "moe", 1, "larry", 2, "curly", 4);
    same(call("validator1.arrayOfStructsTest", VALUE("((V{s:i}V))", stooges, "moe", 8, stooges)),
         VALUE("i", 8), "arrayOfStructsTest");
    same(call("validator1.countTheEntities", VALUE("(s)", "<<>&&&'\"\"\"\"")),
         VALUE("{s:i,s:i,s:i,s:i,s:i}", "ctLeftAngleBrackets", 2, "ctRightAngleBrackets", 1,
               "ctAmpersands", 3, "ctApostrophes", 1, "ctQuotes", 4),
         "countTheEntities");
    same(call("validator1.easyStructTest", VALUE("(V)", stooges)), VALUE("i", 7), "easyStructTest");
    same(call("validator1.echoStructTest", VALUE("({s:V})", "a", stooges)),
         VALUE("{s:V}", "a", stooges), "echoStructTest");
    same(call("validator1.manyTypesTest",
              VALUE("(ibsd86)", 1, 1, TEXT, 0.5, MOMENT, "\0\1", (size_t)2)),
         VALUE("(ibsd86)", 1, 1, TEXT, 0.5, MOMENT, "\0\1", (size_t)2), "manyTypesTest");
    xmlrpc_value *const strings = VALUE("()");
    for (int n = 0; n < 150; n++) {
        char text[8];
        snprintf(text, sizeof text, "%d;", n);
        xmlrpc_value *const string = VALUE("s", text);
        xmlrpc_array_append_item(&env, strings, string);
        xmlrpc_DECREF(string);
    }
    same(call("validator1.moderateSizeArrayCheck", VALUE("(V)", strings)), VALUE("s", "0;149;"),
         "moderateSizeArrayCheck");
    same(call("validator1.nestedStructTest", VALUE("({s:{s:{s:V}}})", "2000", "04", "01", stooges)),
         VALUE("i", 7), "nestedStructTest");
    same(call("validator1.simpleStructReturnTest", VALUE("(i)", 3)),
         VALUE("{s:i,s:i,s:i}", "times10", 30, "times100", 300, "times1000", 3000),
         "simpleStructReturnTest");
}

static void introspection(void) {
    xmlrpc_value *const methods = call("system.listMethods", VALUE("()"));
    check("system.listMethods");
    if (xmlrpc_array_size(&env, methods) < 25)
        fprintf(stderr, "system.listMethods is too short\n"), exit(1);
    same(call("system.methodSignature", VALUE("(s)", "validator1.easyStructTest")),
         VALUE("((ss))", "int", "struct"), "system.methodSignature");
    const char *help;
    xmlrpc_decompose_value(
        &env, call("system.methodHelp", VALUE("(s)", "validator1.easyStructTest")), "s", &help);
    check("system.methodHelp");
    if (strstr(help, "moe, larry and curly") == NULL)
        fprintf(stderr, "no help: %s\n", help), exit(1);
}

static void batch(void) {
    xmlrpc_value *const calls =
        VALUE("({s:s,s:(s)}{s:s,s:(is)}{s:s,s:((ii))})",
              "methodName", "interopEchoTests.echoString", "params", TEXT,
              "methodName", "interop.echoFault", "params", 8, "in a batch",
              "methodName", "interopEchoTests.echoIntegerArray", "params", 1, 2);
    same(call("system.multicall", VALUE("(V)", calls)),
         VALUE("((s){s:i,s:s}((ii)))", TEXT, "faultCode", 8, "faultString", "in a batch", 1, 2),
         "system.multicall");
}

int main(int argc, char **argv) {
    if (argc < 3)
        return fprintf(stderr, "usage: client URL CA_FILE\n"), 2;
    url = argv[1];
    xmlrpc_env_init(&env);
    xmlrpc_client_setup_global_const(&env);
    const struct xmlrpc_curl_xportparms curl = {.cainfo = argv[2]};
    const struct xmlrpc_clientparms parms = {
        .transport = "curl",
        .transportparmsP = &curl,
        .transportparm_size = XMLRPC_CXPSIZE(cainfo)};
    xmlrpc_client_create(&env, XMLRPC_CLIENT_NO_FLAGS, "hotcall-tests", "1", &parms,
                         XMLRPC_CPSIZE(transportparm_size), &client);
    check("xmlrpc_client_create");

    every_type();
    validator1();
    fault(7, TEXT, "interop.echoFault", VALUE("(is)", 7, TEXT));
    fault(-32601, "no.such.method", "no.such.method", VALUE("()"));
    fault(-32602, "wants int, got string", "interopEchoTests.echoInteger", VALUE("(s)", "1"));
    introspection();
    batch();
    return 0;
}
