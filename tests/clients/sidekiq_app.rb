# Jobs of a Sidekiq whose Redis is behind the gateway: GATEWAY is the port,
# GATEWAY_DIRECTORY the certificates, GATEWAY_USER whose.
require 'openssl'
require 'sidekiq'
require 'sidekiq/api'

directory, user = ENV.fetch('GATEWAY_DIRECTORY'), ENV.fetch('GATEWAY_USER')
GATEWAY = {
  url: "rediss://localhost:#{ENV.fetch('GATEWAY')}/2",
  timeout: 60,
  ssl_params: {
    ca_file: "#{directory}/ca.crt",
    cert: OpenSSL::X509::Certificate.new(File.read("#{directory}/#{user}.crt")),
    key: OpenSSL::PKey.read(File.read("#{directory}/#{user}.key")),
    verify_mode: OpenSSL::SSL::VERIFY_PEER
  }
}.freeze
Sidekiq.configure_server do |config|
  config.redis = GATEWAY
  config.options[:poll_interval_average] = 1
end
Sidekiq.configure_client { |config| config.redis = GATEWAY }

class Doubles
  include Sidekiq::Worker

  def perform(n)
    Sidekiq.redis do |redis|
      redis.hset('results', n, 2 * n)
      redis.incr('runs')
    end
  end
end

class SecondTime
  include Sidekiq::Worker
  sidekiq_options retry: 3, queue: 'low'
  sidekiq_retry_in { 1 }

  def perform
    raise 'as asked' if Sidekiq.redis { |redis| redis.incr('attempts') } < 2
  end
end

class Never
  include Sidekiq::Worker
  sidekiq_options retry: 0, dead: true

  def perform
    raise 'never'
  end
end
