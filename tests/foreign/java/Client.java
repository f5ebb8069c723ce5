import de.timroes.axmlrpc.XMLRPCClient;
import de.timroes.axmlrpc.XMLRPCException;
import de.timroes.axmlrpc.XMLRPCServerException;
import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URL;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.GregorianCalendar;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.net.ssl.TrustManagerFactory;

/**
 * Java's aXMLRPC: every type, the suite validator1, a fault, introspection and a batch.
 *
 * <pre>java -cp axmlrpc.jar Client.java URL CA_FILE</pre>
 *
 * It reads an int as Integer and an i8 as Long, arrays as Object[] and structs as Map. It does not
 * escape the names of members.
 */
public final class Client {
    /** Without NO_STRING_DECODE it decodes entities in texts that the XML parser has decoded. */
    private static final int FLAGS =
        XMLRPCClient.FLAGS_NIL
            | XMLRPCClient.FLAGS_8BYTE_INT
            | XMLRPCClient.FLAGS_NO_STRING_DECODE;
    private static final String TEXT =
        " Zo\u00eb <b>&amp; \"it's\" ]]> \u20ac\ud83d\ude00\n\ttwo  ";
    private static final Date MOMENT = new GregorianCalendar(1998, 6, 17, 14, 8, 55).getTime();
    private static final Map<String, Object> STOOGES = struct("moe", 1, "larry", 2, "curly", 4);

    private final XMLRPCClient client;

    private Client(String url, String ca) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (InputStream file = new FileInputStream(ca)) {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            trusted.setCertificateEntry("ca", factory.generateCertificate(file));
        }
        TrustManagerFactory trust =
            TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        client = new XMLRPCClient(new URL(url), FLAGS);
        client.installCustomTrustManagers(trust.getTrustManagers());
    }

    public static void main(String[] arguments) throws Exception {
        Client test = new Client(arguments[0], arguments[1]);
        test.everyType();
        test.validator1();
        test.faults();
        test.introspection();
        test.batch();
    }

    private void everyType() throws XMLRPCException {
        echoes("interopEchoTests.echoInteger", 0, -1, Integer.MAX_VALUE, Integer.MIN_VALUE);
        echoes("interop.echoI8", 5L, 1L << 40, Long.MIN_VALUE);
        echoes("interopEchoTests.echoFloat", -2.5, 0.1, 1234.5678);
        echoes("interopEchoTests.echoString", "", TEXT);
        echoes("interopEchoTests.echoBoolean", true, false);
        echoes("interopEchoTests.echoDate", MOMENT);
        echoes("interopEchoTests.echoBase64", (Object) bytes());
        echoes("interopEchoTests.echoStringArray", (Object) new Object[] {"a", TEXT});
        echoes("interopEchoTests.echoIntegerArray", (Object) new Object[] {1, 2});
        Object record = struct("varString", TEXT, "varInt", 7, "varFloat", 0.5);
        echoes("interopEchoTests.echoStruct", record);
        Object[] records = {struct("a", new Object[] {1})};
        echoes("interopEchoTests.echoStructArray", (Object) records);
        echoes("interop.echoNil", (Object) null);
        Object sent = new Object[] {
            1, 1L, 0.5, "", true, null, MOMENT, bytes(), new Object[0], struct(),
        };
        Object types = new Object[] {
            "int", "i8", "double", "string", "boolean", "nil", "dateTime.iso8601", "base64",
            "array", "struct",
        };
        same(types, call("interop.typesOf", sent), "typesOf");
    }

    private void validator1() throws XMLRPCException {
        Object stooges = new Object[] {STOOGES, struct("moe", 8), STOOGES};
        same(8, call("validator1.arrayOfStructsTest", stooges), "arrayOfStructsTest");
        Object counts = struct(
            "ctLeftAngleBrackets", 2,
            "ctRightAngleBrackets", 1,
            "ctAmpersands", 3,
            "ctApostrophes", 1,
            "ctQuotes", 4);
        String entities = "<<>&&&'\"\"\"\"";
        same(counts, call("validator1.countTheEntities", entities), "countTheEntities");
        same(7, call("validator1.easyStructTest", STOOGES), "easyStructTest");
        Object nested = struct("a", STOOGES);
        same(nested, call("validator1.echoStructTest", nested), "echoStructTest");
        Object[] many = {1, true, TEXT, 0.5, MOMENT, bytes()};
        same(many, call("validator1.manyTypesTest", many), "manyTypesTest");
        List<String> strings = new ArrayList<>();
        for (int n = 0; n < 150; n++) {
            strings.add(n + ";");
        }
        Object ends = call("validator1.moderateSizeArrayCheck", strings);
        same("0;149;", ends, "moderateSizeArrayCheck");
        Object calendar = struct("2000", struct("04", struct("01", STOOGES)));
        same(7, call("validator1.nestedStructTest", calendar), "nestedStructTest");
        Object times = struct("times10", 30, "times100", 300, "times1000", 3000);
        same(times, call("validator1.simpleStructReturnTest", 3), "simpleStructReturnTest");
    }

    private void faults() throws XMLRPCException {
        fault(7, TEXT, "interop.echoFault", 7, TEXT);
        fault(-32601, "no.such.method", "no.such.method");
        fault(-32602, "wants int, got string", "interopEchoTests.echoInteger", "1");
    }

    private void introspection() throws XMLRPCException {
        List<Object> methods = Arrays.asList((Object[]) call("system.listMethods"));
        same(true, methods.contains("validator1.easyStructTest"), "listMethods");
        Object signatures = new Object[] {new Object[] {"int", "struct"}};
        Object got = call("system.methodSignature", "validator1.easyStructTest");
        same(signatures, got, "methodSignature");
        String help = (String) call("system.methodHelp", "validator1.easyStructTest");
        same(true, help.contains("moe, larry and curly"), help);
    }

    private void batch() throws XMLRPCException {
        Object[] text = {TEXT};
        Object[] failure = {8, "in a batch"};
        Object[] numbers = {new Object[] {1, 2}};
        Object calls = new Object[] {
            struct("methodName", "interopEchoTests.echoString", "params", text),
            struct("methodName", "interop.echoFault", "params", failure),
            struct("methodName", "interopEchoTests.echoIntegerArray", "params", numbers),
        };
        Object fault = struct("faultCode", 8, "faultString", "in a batch");
        Object wanted = new Object[] {text, fault, numbers};
        same(wanted, call("system.multicall", calls), "multicall");
    }

    private Object call(String method, Object... parameters) throws XMLRPCException {
        return client.call(method, parameters);
    }

    private void echoes(String method, Object... values) throws XMLRPCException {
        for (Object value : values) {
            same(value, call(method, new Object[] {value}), method);
        }
    }

    private void fault(int code, String text, String method, Object... parameters)
            throws XMLRPCException {
        try {
            throw new AssertionError(method + ": no fault, but " + call(method, parameters));
        } catch (XMLRPCServerException fault) {
            same(code, fault.getErrorNr(), method);
            same(true, fault.getMessage().contains(text), fault.getMessage());
        }
    }

    private static void same(Object wanted, Object got, String what) {
        if (!shown(wanted).equals(shown(got))) {
            throw new AssertionError(what + ": got " + shown(got) + ", wanted " + shown(wanted));
        }
    }

    /** A text that tells any two values apart, and any two types. */
    private static String shown(Object value) {
        if (value instanceof Object[] items) {
            return Arrays.stream(items).map(Client::shown).toList().toString();
        }
        if (value instanceof byte[] bytes) {
            return "bytes" + Arrays.toString(bytes);
        }
        if (value instanceof Map<?, ?> members) {
            Map<Object, String> sorted = new java.util.TreeMap<>();
            members.forEach((name, member) -> sorted.put(name, shown(member)));
            return sorted.toString();
        }
        return value == null ? "null" : value.getClass().getSimpleName() + " '" + value + "'";
    }

    private static Map<String, Object> struct(Object... namesAndValues) {
        Map<String, Object> members = new LinkedHashMap<>();
        for (int at = 0; at < namesAndValues.length; at += 2) {
            members.put((String) namesAndValues[at], namesAndValues[at + 1]);
        }
        return members;
    }

    private static byte[] bytes() {
        byte[] bytes = new byte[256];
        for (int n = 0; n < bytes.length; n++) {
            bytes[n] = (byte) n;
        }
        return bytes;
    }
}
