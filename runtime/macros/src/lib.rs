//! The `#[entry]` attribute of `xen-rt`, which re-exports it.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, ReturnType, Type, parse_macro_input};

/// Marks the function that the runtime calls once the guest is set up.
///
/// The function takes the `Guest` by value and returns anything that implements `Termination`: an
/// `ExitCode`, `()`, a `Result` of those whose error is `Display`, or `!`. Its name is free.
#[proc_macro_attribute]
pub fn entry(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    if !arguments.is_empty() {
        return error(&function, "#[entry] takes no arguments");
    }
    if let Some(reason) = refusal(&function) {
        return error(&function, reason);
    }
    expand(&function)
}

fn refusal(function: &ItemFn) -> Option<&'static str> {
    let signature = &function.sig;
    if signature.inputs.len() != 1 {
        return Some("an entry function takes one argument: `fn main(guest: Guest)`");
    }
    if signature.asyncness.is_some() || signature.unsafety.is_some() || signature.abi.is_some() {
        return Some("an entry function is a plain `fn`: not async, not unsafe, not extern");
    }
    if !signature.generics.params.is_empty() {
        return Some("an entry function has no generic parameters");
    }
    None
}

fn error(function: &ItemFn, reason: &str) -> TokenStream {
    Error::new_spanned(&function.sig, reason).to_compile_error().into()
}

fn expand(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let never = matches!(&function.sig.output, ReturnType::Type(_, output) if matches!(**output, Type::Never(_)));
    let call = if never { quote!(#name(guest)) } else { quote!(::xen_rt::Termination::report(#name(guest))) };
    quote! {
        #function

        const _: () = {
            // SAFETY: the name belongs to xen-rt, which declares it with this signature; a second entry
            // function is refused by the linker.
            #[unsafe(no_mangle)]
            fn __xen_rt_main(guest: ::xen_rt::Guest) -> ::xen_rt::ExitCode {
                #call
            }
        };
    }
    .into()
}
