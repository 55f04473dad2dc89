//! `/init` of the guests that the peer harness boots. Of no use anywhere else.

fn main() -> std::io::Result<()> {
    smolsmc_linux_agent::run()
}
