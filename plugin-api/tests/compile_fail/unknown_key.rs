hotcall_plugin::plugin! {
    name: "sums",
    method: [add], //~ ERROR unknown key `method`
}
