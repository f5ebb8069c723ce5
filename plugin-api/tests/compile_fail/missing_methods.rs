hotcall_plugin::plugin! { name: "sums" } //~ ERROR plugin! needs `methods
