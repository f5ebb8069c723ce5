hotcall_plugin::plugin! {
    name: "sums",
    methods: [], //~ ERROR a plugin has at least one method
}
