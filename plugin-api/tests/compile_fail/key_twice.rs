hotcall_plugin::plugin! {
    name: "sums",
    name: "more", //~ ERROR `name` is given twice
    methods: [add],
}
