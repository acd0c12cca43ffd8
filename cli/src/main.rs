//! The program `encoderfile`: all of it is in the library of the same name.

fn main() -> std::process::ExitCode {
    encoderfile::main()
}
